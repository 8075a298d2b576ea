package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// hide has this process be read by nobody but root: not its memory, its environment and its
// descriptors, and there is no core dump.
func hide() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}
