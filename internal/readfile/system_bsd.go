//go:build darwin || freebsd

package readfile

import (
	"io/fs"
	"syscall"
	"time"
)

// ChangeTime is when the file's inode was last changed, which no program can set.
func ChangeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctimespec.Unix())
	}
	return time.Time{}
}
