//go:build linux

package verify_test

import (
	"syscall"
	"testing"
	"unsafe"
)

// sparse returns a text of this size that begins so, of which no more is in memory than
// is read, and a function that gives it back.
func sparse(t testing.TB, begin string, size int64) (text string, free func()) {
	t.Helper()
	b, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	copy(b, begin)
	return unsafe.String(&b[0], len(b)), func() { syscall.Munmap(b) }
}
