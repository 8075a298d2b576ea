package ingressauth

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	fionread = unix.TIOCINQ
	pathOnly = unix.O_PATH
)

// checkFileSystem refuses the file systems that are windows on the kernel. The Go
// runtime holds descriptors on control-group files, and a number that names one of
// them by mistake would yield a few bytes that pass for a token.
func checkFileSystem(n int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(n, &st); err != nil {
		return err
	}
	switch uint32(st.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
		unix.NSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC:
		return errors.New("it is on a file system of the kernel's own")
	case unix.ANON_INODE_FS_MAGIC, unix.PID_FS_MAGIC:
		return errors.New("it is not a file, a pipe or a socket")
	}
	return nil
}

// reopenDescriptor opens what descriptor n is open on once more, by its path. The
// new descriptor has an offset and flags of its own, so it can be made not to
// block.
func reopenDescriptor(n int, _ descriptorKind) (*descriptorReader, error) {
	fd, err := open(fmt.Sprintf("/proc/self/fd/%d", n), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("its path cannot be reopened: %w", err)
	}
	return &descriptorReader{
		read: func(p []byte) (int, error) {
			return retry(func() (int, error) { return unix.Read(fd, p) })
		},
		close: func() { unix.Close(fd) },
	}, nil
}

// canReopen reports whether reopenDescriptor would succeed.
func canReopen(n int, kind descriptorKind) bool {
	path := fmt.Sprintf("/proc/self/fd/%d", n)
	return kind != kindSocket && unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS) == nil
}

// readPipe reads what is in a pipe, or fails with EAGAIN.
func readPipe(n int, p []byte) (int, error) {
	m, err := unix.Preadv2(n, [][]byte{p}, -1, unix.RWF_NOWAIT)
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS { // pipes: before Linux 6.4
		return pollPipe(n, p)
	}
	return m, err
}
