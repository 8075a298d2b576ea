// Package readfile reads files that others name, who may name anything. Its errors do not
// show the name.
package readfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// ErrChanging says that a file was changed while it was read.
var ErrChanging = errors.New("it is being written")

var errNotRegular = errors.New("it is not a regular file")

// Regular returns what is in a regular file, most bytes of it at most, and says which
// version it read. The check may refuse the file before that; nil refuses none. With
// [ErrChanging] it returns what it read, too, and which version is there by then.
func Regular(path string, most int64, check func(fs.FileInfo) error) ([]byte, fs.FileInfo, error) {
	b, info, err := regular(path, most, check)
	return b, info, WithoutPath(err)
}

func regular(path string, most int64, check func(fs.FileInfo) error) ([]byte, fs.FileInfo, error) {
	f, info, err := openRegular(path)
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

// ReplacedTries is how often a file may be replaced while it is read, in one look.
const ReplacedTries = 3

// Replaced reports whether there is another file at a path by now than the one that was read. To be
// replaced changes a file's time as well, so [ErrChanging] may say no more than that.
func Replaced(path string, read fs.FileInfo) bool {
	info, err := os.Stat(path)
	return err == nil && !os.SameFile(info, read)
}

// OrPipe returns what is in a file, or in a pipe that ends in this time, most bytes of it
// at most.
func OrPipe(path string, most int64, wait time.Duration) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlock, 0)
	if err != nil {
		return nil, WithoutPath(err)
	}
	defer f.Close()
	f.SetReadDeadline(time.Now().Add(wait)) // a file needs none, and takes none
	b, err := io.ReadAll(io.LimitReader(f, most))
	return b, WithoutPath(err)
}

// WithoutPath takes the path out of a file's error, since the message that it goes into
// names the path already, in a form that is safe to show.
func WithoutPath(err error) error {
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		return named.Err
	}
	return err
}

// SameVersion reports whether nobody changed a file between two looks at it, as far as
// its size and times tell. The first may be nil, which is no version.
func SameVersion(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.Size() == b.Size() &&
		a.ModTime().Equal(b.ModTime()) && ChangeTime(a).Equal(ChangeTime(b))
}

// openRegular opens a regular file for reading, at the end of links. It waits for no writer of
// a pipe, and opens no device, which might act on that.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	f, err := os.OpenFile(path, os.O_RDONLY|nonBlock, 0)
	if err != nil {
		return nil, nil, err
	}
	// Something else can have taken its place.
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}
