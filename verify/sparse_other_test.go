//go:build !linux

package verify_test

import (
	"strings"
	"testing"
)

// sparse returns a text that begins so, as large as memory bears.
func sparse(t testing.TB, begin string, size int64) (text string, free func()) {
	return begin + strings.Repeat("\x00", int(min(size, 64<<20))), func() {}
}
