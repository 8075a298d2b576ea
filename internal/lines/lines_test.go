package lines

import (
	"bytes"
	"errors"
	"testing"
)

// disk takes so many bytes more.
type disk struct {
	bytes.Buffer
	room int
}

var errFull = errors.New("full")

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestWriter(t *testing.T) {
	var d disk
	w := Writer{To: &d}
	for _, step := range []struct {
		room int // before a line of three bytes
		err  error
		want string // in all
	}{
		{3, nil, "ab\n"},
		{0, errFull, "ab\n"},
		{3, nil, "ab\nab\n"},
		{1, errFull, "ab\nab\na"},
		{0, errFull, "ab\nab\na"},
		{1, errFull, "ab\nab\na\n"}, // the end alone
		{3, nil, "ab\nab\na\nab\n"},
		{2, errFull, "ab\nab\na\nab\nab"},
		{2, errFull, "ab\nab\na\nab\nab\na"},
		{3, errFull, "ab\nab\na\nab\nab\na\nab"},
		{4, nil, "ab\nab\na\nab\nab\na\nab\nab\n"},
	} {
		d.room = step.room
		n, err := w.Write([]byte("ab\n"))
		if err != step.err || d.String() != step.want || (err == nil) != (n == 3) {
			t.Errorf("%d %v %q, want %q", n, err, d.String(), step.want)
		}
	}
}
