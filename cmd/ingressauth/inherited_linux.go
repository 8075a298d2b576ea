package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// closeInherited closes what was inherited but the standard streams and one more, and is
// the command's alone by now: only then do others learn that the command has closed it.
func closeInherited(but int) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return
	}
	names, _ := dir.Readdirnames(-1)
	dir.Close()
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil || n <= 2 || n == but {
			continue
		}
		// What is closed on exec was not inherited, but is our own.
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(n)
		}
	}
}
