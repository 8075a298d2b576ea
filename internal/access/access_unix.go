//go:build linux || darwin || freebsd

package access

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// May reports whether the user has this permission. Root has Read and Search everywhere.
func (u User) May(info fs.FileInfo, permission fs.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	mode := info.Mode().Perm()
	switch {
	case u.UID == 0:
		return true
	case int(st.Uid) == u.UID: // and then the group does not count, nor others
		mode >>= 6
	case slices.Contains(u.Groups, int(st.Gid)):
		mode >>= 3
	}
	return mode&permission != 0
}

// Reach returns an error if the user cannot get to what is at an absolute path without links,
// through all directories above it.
func (u User) Reach(path string) error {
	if u.UID == 0 {
		return nil
	}
	for dir := path; dir != filepath.Dir(dir); {
		dir = filepath.Dir(dir)
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if !u.May(info, Search) {
			return errNotReached
		}
	}
	return nil
}
