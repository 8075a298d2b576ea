//go:build !linux && !darwin && !freebsd

package access

import "io/fs"

// May reports that nobody but this user is known to have a permission: modes and owners say
// nothing here.
func (u User) May(fs.FileInfo, fs.FileMode) bool { return false }

// Reach returns an error for the same reason.
func (u User) Reach(string) error { return errNotReached }

// ReachFrom does, too.
func (u User) ReachFrom(_, _ string) error { return errNotReached }
