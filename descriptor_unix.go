//go:build linux || darwin || freebsd

package ingressauth

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// inspectDescriptor looks at descriptor n without any effect on it. An error says
// why it cannot hold a token.
func inspectDescriptor(n int) (kind descriptorKind, closeOnExec bool, err error) {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil {
		return "", false, errors.New("it is not open")
	}
	closeOnExec = flags&unix.FD_CLOEXEC != 0
	status, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	if err != nil {
		return "", closeOnExec, err
	}
	// Opening a pipe's write end by its path succeeds, and steals from its reader.
	if status&unix.O_ACCMODE == unix.O_WRONLY || status&pathOnly != 0 {
		return "", closeOnExec, errors.New("it is not open for reading")
	}
	var st unix.Stat_t
	if err := unix.Fstat(n, &st); err != nil {
		return "", closeOnExec, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		kind = kindFile
		err = checkFileSystem(n)
	case unix.S_IFIFO:
		kind = kindPipe
	case unix.S_IFSOCK:
		kind = kindSocket
	case unix.S_IFDIR:
		err = errors.New("it is a directory")
	case unix.S_IFCHR:
		kind, err = kindNull, nil
		if !isNullDevice(uint64(st.Rdev)) {
			err = errors.New("it is a character device")
		}
	default:
		err = errors.New("it is not a file, a pipe or a socket")
	}
	return kind, closeOnExec, err
}

func isNullDevice(device uint64) bool {
	var st unix.Stat_t
	return unix.Stat(os.DevNull, &st) == nil && uint64(st.Rdev) == device
}

// openDescriptor prepares to read descriptor n: through its path, as rule R5 has
// it, or itself where its path cannot be reopened and direct allows it.
func openDescriptor(n int, kind descriptorKind, direct bool) (*descriptorReader, error) {
	r, err := reopenDescriptor(n, kind)
	if err == nil || !direct {
		return r, err
	}
	return &descriptorReader{read: directReader(n, kind), close: func() {}, direct: true}, nil
}

// directReader reads descriptor n itself. A file is read from its start, leaving
// its offset, which others share, where it is.
func directReader(n int, kind descriptorKind) func([]byte) (int, error) {
	switch kind {
	case kindFile:
		var offset int64
		return func(p []byte) (int, error) {
			m, err := retry(func() (int, error) { return unix.Pread(n, p, offset) })
			offset += int64(m)
			return m, err
		}
	case kindSocket:
		return func(p []byte) (int, error) {
			return retry(func() (int, error) {
				m, _, err := unix.Recvfrom(n, p, unix.MSG_DONTWAIT)
				return m, err
			})
		}
	default:
		return func(p []byte) (int, error) {
			return retry(func() (int, error) { return readPipe(n, p) })
		}
	}
}

// retry repeats a system call that a signal interrupted, and makes errWait of
// EAGAIN.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errWait
		default:
			return 0, err
		}
	}
}

// pollPipe reads from a pipe that poll says is ready. Should another process read
// what was there in between, this blocks until there is more or the pipe ends;
// whoever waits for it does not wait so long (lookDescriptor).
func pollPipe(n int, p []byte) (int, error) {
	ready := []unix.PollFd{{Fd: int32(n), Events: unix.POLLIN}}
	if m, err := unix.Poll(ready, 0); err != nil {
		return 0, err
	} else if m == 0 {
		return 0, unix.EAGAIN
	}
	return unix.Read(n, p)
}

// describeDescriptor returns the mode and the owner of the file that descriptor n
// is open on, or nothing.
func describeDescriptor(n int) (mode, owner string) {
	var st unix.Stat_t
	if unix.Fstat(n, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "", ""
	}
	return fmt.Sprintf("%04o", st.Mode&0o777), strconv.Itoa(int(st.Uid))
}

// peekStream says how many bytes wait in a pipe or socket, and whether it is at
// its end, without any effect on it.
func peekStream(n int, kind descriptorKind) (waiting int, ended bool, err error) {
	waiting, err = unix.IoctlGetInt(n, fionread)
	if err != nil || waiting > 0 {
		return waiting, false, err
	}
	if kind == kindSocket {
		var p [1]byte
		m, err := retry(func() (int, error) {
			m, _, err := unix.Recvfrom(n, p[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			return m, err
		})
		return m, m == 0 && err == nil, nil
	}
	ready := []unix.PollFd{{Fd: int32(n), Events: unix.POLLIN}}
	if _, err := unix.Poll(ready, 0); err != nil {
		return 0, false, err
	}
	return 0, ready[0].Revents&unix.POLLIN == 0 && ready[0].Revents&unix.POLLHUP != 0, nil
}

// open is open(2), repeated when a signal interrupts it.
func open(path string, flags int) (fd int, err error) {
	for {
		if fd, err = unix.Open(path, flags, 0); err != unix.EINTR {
			return fd, err
		}
	}
}
