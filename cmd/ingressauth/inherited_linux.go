package main

import (
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

// maxSearch bounds how much of an inherited file is looked into, in bytes.
const maxSearch = 16 << 20

// searchInherited returns which of the standard streams and of what was inherited are files that
// hold one of these texts, and those that are too large to say (false). They are read where their
// offsets are not moved; a pipe or a socket is not read.
func searchInherited(texts []string) map[int]bool {
	found := make(map[int]bool)
	for _, n := range append(inherited(), 0, 1, 2) {
		var info unix.Stat_t
		if unix.Fstat(n, &info) != nil || info.Mode&unix.S_IFMT != unix.S_IFREG || info.Size == 0 {
			continue
		}
		if info.Size > maxSearch {
			if n > 2 {
				found[n] = false
			}
			continue
		}
		b := make([]byte, info.Size)
		got, err := unix.Pread(n, b, 0)
		if err == nil && holds(string(b[:got]), texts) { // else it is not open for reading
			found[n] = true
		}
	}
	return found
}
