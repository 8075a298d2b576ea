package launch

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// newMemfd returns a file in memory that holds this text and that nobody can change. It is
// read from its beginning.
func newMemfd(text string) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("session-token", flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("session-token", flags)
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "session-token")
	_, err = io.NewOffsetWriter(f, 0).Write([]byte(text))
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS,
			unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// moveTo has the program that takes this process's place inherit f under this number.
func moveTo(f *os.File, number int) error {
	if int(f.Fd()) == number {
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0)
		return os.NewSyscallError("fcntl", err)
	}
	return os.NewSyscallError("dup3", unix.Dup3(int(f.Fd()), number, 0))
}
