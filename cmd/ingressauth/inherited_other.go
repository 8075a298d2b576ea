//go:build !linux

package main

import "os"

// closeInherited leaves what it has: nothing tells here what was inherited.
func closeInherited(int) {}

// keepInherited does as little.
func keepInherited() (restore func()) { return func() {} }

// searchInherited finds nothing, as nothing tells here what was inherited.
func searchInherited([]string) map[int]bool { return nil }

// openDirectories finds none, for the same reason.
func openDirectories() []string { return nil }

// typesAbove finds nothing: nobody has tried that here.
func typesAbove() bool { return false }

// giveSocket makes a socket another user's.
func giveSocket(path string, uid, gid int) error { return os.Lchown(path, uid, gid) }
