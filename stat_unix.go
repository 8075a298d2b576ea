//go:build linux || darwin || freebsd

package ingressauth

import (
	"io/fs"
	"syscall"
)

// openNonblock keeps the opening of a file from waiting.
const openNonblock = syscall.O_NONBLOCK

// ownerOf returns the user ID of a file's owner.
func ownerOf(info fs.FileInfo) (uid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
