package ingressauth_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRenameToAReusedInode renames twice between looks, which on many file systems
// gives the second file the number of the one that was looked at.
func TestRenameToAReusedInode(t *testing.T) {
	w := newWorld(t)
	path, r := w.following("first")
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st)
	need(t, err == nil && st.Mask&unix.STATX_BTIME != 0, "file system that tells birth times")
	const tick = 5 * time.Millisecond // of the file system's clock, and a little
	late := 0
	for i := range 30 {
		w.rename(path, "between")
		time.Sleep(tick)
		text := fmt.Sprint("renamed ", i)
		w.rename(path, text)
		time.Sleep(tick)
		if tokenText(t, r) != text {
			late++
		}
	}
	if late > 3 {
		t.Errorf("%d of 30 were believed late", late)
	}
}
