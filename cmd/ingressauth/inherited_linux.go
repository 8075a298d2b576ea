package main

import (
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/ingressauth/ingressauth/internal/proctree"
	"github.com/ingressauth/ingressauth/internal/readfile"
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

// typesAbove reports whether the command can type into the terminal that this process has, as if
// whoever sits there did (TIOCSTI): what is left of that when the command has ended, the shell above
// runs. Whoever may not read a file has it printed so.
func typesAbove() bool {
	if !proctree.HasTerminal(os.Getpid()) {
		return false
	}
	b, err := os.ReadFile("/proc/sys/dev/tty/legacy_tiocsti")
	return err != nil || string(b) != "0\n" // before Linux 6.2 everybody can
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

// openDirectories returns the paths of directories that were inherited.
func openDirectories() (paths []string) {
	for _, n := range append(inherited(), 0, 1, 2) {
		var info unix.Stat_t
		if unix.Fstat(n, &info) != nil || info.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(n)); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// maxSearch bounds how much of an inherited file is looked into, in bytes.
const maxSearch = 16 << 20

// searchInherited returns which of the standard streams and of what was inherited are files that
// hold one of these texts (true), and which cannot be looked into, or are too large for that (false).
// Their offsets are not moved; a pipe or a socket is not read.
func searchInherited(texts []string) map[int]bool {
	found := make(map[int]bool)
	for _, n := range append(inherited(), 0, 1, 2) {
		var info unix.Stat_t
		if unix.Fstat(n, &info) != nil || info.Mode&unix.S_IFMT != unix.S_IFREG || info.Size == 0 {
			continue
		}
		if info.Size > maxSearch {
			if n == 0 || n > 2 { // what is written to may be a large log
				found[n] = false
			}
			continue
		}
		b := make([]byte, info.Size)
		got, err := unix.Pread(n, b, 0)
		if err == unix.EBADF { // it is open for writing alone, and who can open it again can read it
			got, err = readAgain(n, b)
		}
		if err == nil && holds(string(b[:got]), texts) {
			found[n] = true
		}
	}
	return found
}

// readAgain reads the beginning of a file that is open, by another descriptor.
func readAgain(n int, b []byte) (int, error) {
	f, err := os.Open("/proc/self/fd/" + strconv.Itoa(n))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.ReadFull(f, b)
}

// giveSocket makes a socket another user's, and nothing that has taken its place.
func giveSocket(path string, uid, gid int) error {
	f, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return readfile.WithoutPath(err)
	}
	defer f.Close()
	var info unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &info); err != nil || info.Mode&unix.S_IFMT != unix.S_IFSOCK || info.Nlink != 1 {
		return errors.New("something else is in its place")
	}
	return os.NewSyscallError("fchownat", unix.Fchownat(int(f.Fd()), "", uid, gid, unix.AT_EMPTY_PATH))
}
