// Package privatefile writes files that only their owner may read, whole and in place of
// what was there, in directories that are as private. No link is followed at either.
package privatefile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// OpenDir opens a directory, and makes it, mode 0700, if there is none. One that was there
// keeps its mode. It must not be a link; directories above may be links, as homes are.
//
// Nothing is done by a path that could be a link by then: the directory that holds it may
// be another user's.
func OpenDir(dir string) (*os.Root, error) {
	if dir == filepath.Dir(dir) { // the root directory
		return os.OpenRoot(dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	parent, err := os.OpenRoot(filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return OpenDirIn(parent, filepath.Base(dir))
}

// OpenDirIn is OpenDir for a directory in one that is open.
func OpenDirIn(parent *os.Root, name string) (*os.Root, error) {
	made := parent.Mkdir(name, 0o700)
	if made != nil && !errors.Is(made, fs.ErrExist) {
		return nil, made
	}
	info, err := parent.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("its directory is a link or a file")
	}
	root, err := parent.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	// What was opened must be what was looked at, and no link put in its place.
	opened, err := root.Stat(".")
	if err == nil && !os.SameFile(info, opened) {
		err = errors.New("its directory was replaced while it was opened")
	}
	if err == nil && made == nil {
		err = root.Chmod(".", 0o700) // whatever the umask took
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// Write makes text the content of a file in dir, mode 0600. Whoever reads the file
// meanwhile finds the old text or the new one, whole. With durable, the text is on the
// disk before it takes its place.
func Write(dir *os.Root, name, text string, durable bool) error {
	return replace(dir, name, func(f *os.File) error {
		_, err := f.WriteString(text)
		if err == nil && durable {
			err = f.Sync()
		}
		return err
	})
}

// WriteFor is Write of a file that belongs to another user, to whom the directory may belong as
// well. It is that user's before the text is in it. Only root can do that.
func WriteFor(dir *os.Root, name, text string, uid, gid int) error {
	return replace(dir, name, func(f *os.File) error {
		if err := f.Chown(uid, gid); err != nil {
			return err
		}
		_, err := f.WriteString(text)
		return err
	})
}

// replace makes what fill writes the file of this name.
func replace(dir *os.Root, name string, fill func(*os.File) error) error {
	temporary := temporaryPrefix(name) + rand.Text()
	err := write(dir, temporary, fill)
	if err == nil {
		err = dir.Rename(temporary, name)
	}
	if err != nil {
		dir.Remove(temporary)
	}
	return err
}

func temporaryPrefix(name string) string { return "." + name + ".tmp-" }

func write(dir *os.Root, name string, fill func(*os.File) error) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = f.Chmod(0o600) // whatever the umask took
	if err == nil {
		err = fill(f)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// staleAge is how old a temporary file must be for its writer, who needs milliseconds,
// to be dead.
const staleAge = time.Minute

// Sweep removes what writers of this file left that were killed. It does what it can.
func Sweep(dir *os.Root, name string) {
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return
	}
	now := time.Now()
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporaryPrefix(name)) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > staleAge {
			dir.Remove(e.Name())
		}
	}
}
