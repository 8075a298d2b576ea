package ingressauth

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// staleAge is how old a temporary file must be for its writer, who needs
// milliseconds, to be dead.
const staleAge = time.Minute

// writeTokenFile writes text to the file at path, mode 0600, in a directory that
// is made, mode 0700, where there is none. Whoever reads the file meanwhile finds
// the old text or the new one, whole. No link is followed at the file or at its
// directory (directories above may be links, as homes are), and what a writer left
// that was killed is swept.
func writeTokenFile(path, text string) error {
	root, err := openPrivateDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	name := filepath.Base(path)
	prefix := "." + name + ".tmp-"
	sweep(root, prefix, time.Now())

	temporary := prefix + rand.Text()
	err = writePrivate(root, temporary, text)
	if err == nil {
		err = root.Rename(temporary, name)
	}
	if err != nil {
		root.Remove(temporary)
	}
	return err
}

// openPrivateDir opens a directory, and makes it if there is none. One that was
// there keeps its mode. Nothing is done by a path that could be a link by then: the
// directory that holds it may be another user's.
func openPrivateDir(dir string) (*os.Root, error) {
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
	name := filepath.Base(dir)
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

// writePrivate makes a new file of mode 0600 and sees its text to the disk.
func writePrivate(root *os.Root, name, text string) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = f.Chmod(0o600) // whatever the umask took
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// sweep removes temporary files whose writers are dead. It does what it can.
func sweep(root *os.Root, prefix string, now time.Time) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > staleAge {
			root.Remove(e.Name())
		}
	}
}
