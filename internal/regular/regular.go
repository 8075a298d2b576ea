// Package regular opens regular files and nothing else.
package regular

import (
	"errors"
	"io/fs"
	"os"
)

// ErrNotRegular says that a path leads to something else than a regular file.
var ErrNotRegular = errors.New("it is not a regular file")

// Open opens a regular file for reading, at the end of links. It waits for no writer of
// a pipe, and opens no device, which might act on that.
func Open(path string) (*os.File, fs.FileInfo, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() {
		return nil, nil, ErrNotRegular
	}
	f, err := os.OpenFile(path, os.O_RDONLY|NonBlock, 0)
	if err != nil {
		return nil, nil, err
	}
	// Something else can have taken its place.
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotRegular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
