//go:build !linux

package main

// hide does nothing: who may read whose memory is the system's to say.
func hide() error { return nil }
