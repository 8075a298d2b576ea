//go:build !linux && !darwin && !freebsd

package readfile

import (
	"io/fs"
	"time"
)

// Other systems have no such thing, or nobody has tried it there.

// nonBlock has no meaning.
const nonBlock = 0

// ChangeTime is zero.
func ChangeTime(fs.FileInfo) time.Time { return time.Time{} }

// BirthTime is zero.
func BirthTime(string) time.Time { return time.Time{} }
