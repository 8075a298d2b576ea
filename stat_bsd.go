//go:build darwin || freebsd

package ingressauth

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime is when the file's inode was last changed, which no program can set.
func changeTime(info fs.FileInfo) time.Time {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctimespec.Unix())
	}
	return time.Time{}
}

// birthTime is not asked for: a rename to a number that was given back is then taken
// for a change in place, and believed 20 ms later.
func birthTime(string) time.Time { return time.Time{} }

// isOverflowUser reports false: there are no user namespaces.
func isOverflowUser(int) bool { return false }
