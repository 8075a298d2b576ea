//go:build !linux && !darwin && !freebsd

package regular

import (
	"io/fs"
	"time"
)

// Other systems have no such thing, or nobody has tried it there.

// NonBlock has no meaning.
const NonBlock = 0

// ChangeTime is zero.
func ChangeTime(fs.FileInfo) time.Time { return time.Time{} }
