//go:build linux || darwin || freebsd

package ingressauth_test

import (
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// numbers are the numbers of descriptors that were given out. One is never used
// twice, since its first outcome holds for the life of the process.
var numbers atomic.Int64

func init() { numbers.Store(1000) }

// inherit makes f look like an inherited descriptor: with a number of its own and
// without close-on-exec. It closes f.
func inherit(t testing.TB, f *os.File) string {
	t.Helper()
	defer f.Close()
	n, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, int(numbers.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	numbers.Store(max(numbers.Load(), int64(n)))
	t.Cleanup(func() { unix.Close(n) })
	return strconv.Itoa(n)
}

// inheritFile is a descriptor on a file that holds text.
func inheritFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return inherit(t, f)
}

// inheritPipe is a descriptor on a pipe, and the pipe's other end.
func inheritPipe(t testing.TB, text string) (number string, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if _, err := w.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return inherit(t, r), w
}
