//go:build linux || darwin || freebsd

package access

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
func (u User) Reach(path string) error { return u.pass(filepath.Dir(path), "/") }

// ReachFrom does so for a process that has a directory open, an absolute path without links, too.
// It passes those alone that are not above both.
func (u User) ReachFrom(dir, path string) error {
	top := dir
	for top != "/" && !strings.HasPrefix(path, top+"/") {
		top = filepath.Dir(top)
	}
	return errors.Join(u.pass(dir, top), u.pass(filepath.Dir(path), top))
}

// pass returns an error if the user cannot search a directory, or one above it up to another.
func (u User) pass(dir, top string) error {
	if u.UID == 0 {
		return nil
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if !u.May(info, Search) {
			return errNotReached
		}
		if dir == top || dir == "/" {
			return nil
		}
	}
}
