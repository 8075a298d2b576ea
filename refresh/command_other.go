//go:build !linux && !darwin && !freebsd

package refresh

import "os/exec"

// killGroup leaves it at the program itself.
func killGroup(*exec.Cmd) {}
