package main

import (
	"bytes"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// inherited returns the descriptors that were inherited, but the standard streams: what is
// closed on exec was not, but is our own.
func inherited() (numbers []int) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil
	}
	names, _ := dir.Readdirnames(-1)
	dir.Close()
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil || n <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// closeInherited closes what was inherited but the standard streams and one more, and is
// the command's alone by now: only then do others learn that the command has closed it.
func closeInherited(but int) {
	for _, n := range inherited() {
		if n != but {
			unix.Close(n)
		}
	}
}

// keepInherited has children inherit nothing of what was inherited, until restore is called.
func keepInherited() (restore func()) {
	numbers := inherited()
	for _, n := range numbers {
		unix.CloseOnExec(n)
	}
	return func() {
		for _, n := range numbers {
			unix.FcntlInt(uintptr(n), unix.F_SETFD, 0)
		}
	}
}

// maxSecret bounds what is read of a file that may hold a token, in bytes.
const maxSecret = 128 << 10

// keepHolding has no child inherit a file that holds this text, and returns their numbers. A
// pipe or a socket is not read.
func keepHolding(text string) (kept []int) {
	for _, n := range inherited() {
		path := "/proc/self/fd/" + strconv.Itoa(n)
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxSecret {
			continue
		}
		f, err := os.Open(path) // with an offset of its own
		if err != nil {
			continue
		}
		b, _ := io.ReadAll(io.LimitReader(f, maxSecret))
		f.Close()
		if bytes.Contains(b, []byte(text)) {
			keepFromChildren(n)
			kept = append(kept, n)
		}
	}
	return kept
}
