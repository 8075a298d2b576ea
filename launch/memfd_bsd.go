//go:build darwin || freebsd

package launch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// newMemfd leaves it to a pipe.
func newMemfd(string) (*os.File, error) { return nil, errors.ErrUnsupported }

// moveTo has the program that takes this process's place inherit f under this number.
func moveTo(f *os.File, number int) error {
	if int(f.Fd()) == number {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0)
		return os.NewSyscallError("fcntl", err)
	}
	return os.NewSyscallError("dup2", unix.Dup2(int(f.Fd()), number))
}
