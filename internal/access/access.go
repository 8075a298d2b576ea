// Package access says what another user may do with files, by owner, group and mode. Access
// control lists and security modules are not looked at: they can allow more, and less.
package access

import (
	"errors"
	"io/fs"
)

// User is who would do it.
type User struct {
	UID    int
	Groups []int // all of them, the primary one included
}

// errNotReached says that a directory is closed to a user.
var errNotReached = errors.New("a directory on the way to it is closed to that user")

// Permissions, as they stand in a mode for each of owner, group and others.
const (
	Read   fs.FileMode = 4
	Search fs.FileMode = 1 // of a directory
)
