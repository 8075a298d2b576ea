// Package regular reads regular files and nothing else.
package regular

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

var (
	// ErrNotRegular says that a path leads to something else than a regular file.
	ErrNotRegular = errors.New("it is not a regular file")
	// ErrChanging says that a file was changed while it was read.
	ErrChanging = errors.New("it is being written")
)

// Read returns what is in a regular file, most bytes of it at most, and says which version
// it read. The check may refuse the file before that; nil refuses none. With
// [ErrChanging] Read returns what it read, too, and which version is there by then.
func Read(path string, most int64, check func(fs.FileInfo) error) ([]byte, fs.FileInfo, error) {
	f, info, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if check != nil {
		if err := check(info); err != nil {
			return nil, nil, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, nil, err
	}
	after, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !SameVersion(info, after) {
		return b, after, ErrChanging
	}
	return b, info, nil
}

// SameVersion reports whether nobody changed a file between two looks at it, as far as
// its size and times tell. The first may be nil, which is no version.
func SameVersion(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.Size() == b.Size() &&
		a.ModTime().Equal(b.ModTime()) && ChangeTime(a).Equal(ChangeTime(b))
}

// open opens a regular file for reading, at the end of links. It waits for no writer of
// a pipe, and opens no device, which might act on that.
func open(path string) (*os.File, fs.FileInfo, error) {
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
