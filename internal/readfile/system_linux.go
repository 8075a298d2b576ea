package readfile

import (
	"io/fs"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ChangeTime is when the file's inode was last changed, which no program can set.
func ChangeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctim.Unix())
	}
	return time.Time{}
}

// BirthTime is when the inode at path was made, or zero where that is not known.
func BirthTime(path string) time.Time {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st) != nil || st.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}
