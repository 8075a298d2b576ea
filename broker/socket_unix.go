//go:build unix

package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// checkSocketDir refuses a directory that others could enter, or put a socket in.
func checkSocketDir(info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("its directory has mode %04o, and is to be this user's alone: chmod 700", mode)
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if own := os.Geteuid(); owner != own && own != 0 {
		return errors.New("its directory is another user's")
	}
	return nil
}

// lockTime bounds how long it is waited for who is about to listen.
const lockTime = 5 * time.Second

// lockDir locks a directory against others who do the same.
func lockDir(dir *os.Root) (unlock func(), err error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockTime); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EINTR && err != unix.EWOULDBLOCK || time.Now().After(deadline) {
			f.Close()
			return nil, os.NewSyscallError("flock of its directory", err)
		}
	}
}

func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }
