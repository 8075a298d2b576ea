//go:build linux || darwin || freebsd

package tokendir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// tryLock locks a directory for as long as the file that it returns is open in this
// process. Children do not inherit it.
func tryLock(dir *os.Root) (*os.File, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, os.NewSyscallError("flock", err)
	}
	return f, nil
}

// isOwn reports whether a file belongs to this user.
func isOwn(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// checkOwn refuses a directory that is another's, or that others can write to.
func checkOwn(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if me := os.Geteuid(); ok && int(st.Uid) != me {
		return fmt.Errorf("it belongs to user %d, and not to this one (%d): name another in XDG_RUNTIME_DIR", st.Uid, me)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others have permissions on it (mode %04o): make that 0700", info.Mode().Perm())
	}
	return nil
}

// checkShared refuses a directory in which somebody else than root and this user could replace
// what is in it.
func checkShared(info fs.FileInfo, uid int) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && st.Uid != 0 && int(st.Uid) != uid {
		return fmt.Errorf("it belongs to user %d, and neither to root nor to user %d: name another in TMPDIR", st.Uid, uid)
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("others can replace what is in it (mode %04o, not sticky): name another in TMPDIR", info.Mode().Perm())
	}
	return nil
}
