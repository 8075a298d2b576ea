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

// BirthTime is not asked for: a rename to a number that was given back is then taken
// for a change in place, and believed 20 ms later.
func BirthTime(string) time.Time { return time.Time{} }
