//go:build linux || darwin || freebsd

package ingressauth

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPollPipe is of the way to read a pipe where there is no better one.
func TestPollPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := int(r.Fd())
	p := make([]byte, 8)
	if n, err := pollPipe(fd, p); n != 0 || err != unix.EAGAIN {
		t.Errorf("an empty pipe: %d, %v", n, err)
	}
	w.WriteString("abc")
	if n, err := pollPipe(fd, p); n != 3 || err != nil {
		t.Errorf("a pipe with three bytes: %d, %v", n, err)
	}
	w.Close()
	if n, err := pollPipe(fd, p); n != 0 || err != nil {
		t.Errorf("a pipe at its end: %d, %v", n, err)
	}
}
