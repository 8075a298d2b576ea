// Package lines writes lines to what may take a part of one alone, as a full disk does.
package lines

import "io"

// Writer writes lines, each in one call of Write of To. What is left of one that was not taken
// whole is ended before the next, so that one at most is lost with it. It must not be used
// concurrently.
type Writer struct {
	To   io.Writer
	torn bool // a line was begun, and not ended
}

// Write writes a line, with its end; [io.Writer].
func (w *Writer) Write(line []byte) (int, error) {
	if !w.torn {
		n, err := w.To.Write(line)
		w.torn = 0 < n && n < len(line)
		return n, err
	}
	n, err := w.To.Write(append([]byte{'\n'}, line...))
	w.torn = n != 1 && n <= len(line)
	return max(0, n-1), err
}
