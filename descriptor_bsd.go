//go:build darwin || freebsd

package ingressauth

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	fionread = 0x4004667f // _IOR('f', 127, int), <sys/filio.h>
	pathOnly = 0          // darwin has none; FreeBSD's cannot be opened for reading
)

// checkFileSystem refuses nothing: these systems have no files that the Go runtime
// holds open.
func checkFileSystem(int) error { return nil }

// reopenDescriptor opens descriptor n once more, by its path. Here that is a
// duplicate, whose offset and flags are those of n, so it is read as n would be.
func reopenDescriptor(n int, kind descriptorKind) (*descriptorReader, error) {
	fd, err := open(fmt.Sprintf("/dev/fd/%d", n), unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("its path cannot be reopened: %w", err)
	}
	return &descriptorReader{read: directReader(fd, kind), close: func() { unix.Close(fd) }}, nil
}

// canReopen reports whether reopenDescriptor would succeed.
func canReopen(n int, _ descriptorKind) bool {
	return unix.Access(fmt.Sprintf("/dev/fd/%d", n), unix.R_OK) == nil
}

// readPipe reads what is in a pipe, or fails with EAGAIN.
func readPipe(n int, p []byte) (int, error) { return pollPipe(n, p) }
