// Package tokendir makes the directories in which token files of children are: one for each
// child, in the runtime directory of this user, or, for a child of another user, where that
// one gets to it.
package tokendir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/privatefile"
	"github.com/ingressauth/ingressauth/internal/readfile"
)

// errLocked says that the owner of a directory is alive.
var errLocked = errors.New("it is locked by another process")

const (
	dirPrefix  = "session-"
	tokenName  = "token"
	statusName = "status"
)

// Dir is the directory of one child's token file. It is locked (flock) for as long as
// this process has it open, by which others know that its owner is alive.
type Dir struct {
	parent, dir *os.Root
	lock        *os.File
	path        string
	owner       *owner // nil for this user
}

// New makes a directory in this user's own part of the runtime directory, and removes those
// there whose owners are dead.
func New() (*Dir, error) {
	path, err := runtimeDir()
	if err != nil {
		return nil, err
	}
	parent, err := openOwnDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: make what is above it, or name another in XDG_RUNTIME_DIR or TMPDIR", readfile.WithoutPath(err))
	}
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", path, readfile.WithoutPath(err))
	}
	sweep(parent, dirPrefix)
	d, err := makeDir(parent, path, dirPrefix)
	if err != nil {
		parent.Close()
		return nil, fmt.Errorf("directory %s: %w", path, readfile.WithoutPath(err))
	}
	return d, nil
}

// Sweep removes the directories whose owners are dead. It does what it can.
func Sweep() {
	sweepShared()
	path, err := runtimeDir()
	if err != nil {
		return
	}
	if parent, err := os.OpenRoot(path); err == nil {
		sweep(parent, dirPrefix)
		parent.Close()
	}
}

// runtimeDir returns the path of this user's own part of the runtime directory.
func runtimeDir() (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", errors.New("XDG_RUNTIME_DIR is not an absolute path")
		}
		// Under sudo it can be that of another user, who could not use it any more.
		if info, err := os.Stat(dir); err != nil || isOwn(info) {
			return filepath.Join(dir, "ingressauth"), nil
		}
	}
	if runtime.GOOS == "linux" {
		dir := filepath.Join("/run/user", strconv.Itoa(os.Geteuid()))
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return filepath.Join(dir, "ingressauth"), nil
		}
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("ingressauth-%d", os.Geteuid())), nil
}

// openOwnDir opens a directory that nobody but this user can write to, and makes it where
// it is not there. The one that holds it is there, and may be everybody's.
func openOwnDir(path string) (*os.Root, error) {
	holder, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer holder.Close()
	dir, err := privatefile.OpenDirIn(holder, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat(".")
	if err == nil {
		err = checkOwn(info)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// tries bounds how often a new directory is taken for one that a dead process left: by as
// many others as are started at the same time.
const tries = 100

func makeDir(parent *os.Root, path, prefix string) (*Dir, error) {
	for range tries {
		name := prefix + rand.Text()
		dir, err := privatefile.OpenDirIn(parent, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Where nobody can lock, nobody sweeps, and the lock is nil. Who sweeps can have
		// been there before the lock was.
		lock, err := tryLock(dir)
		if _, gone := parent.Lstat(name); gone == nil && err != errLocked {
			return &Dir{parent, dir, lock, filepath.Join(path, name), nil}, nil
		}
		lock.Close()
		dir.Close()
		parent.RemoveAll(name)
	}
	return nil, errors.New("other processes remove what is made there")
}

func sweep(parent *os.Root, prefix string) {
	entries, err := fs.ReadDir(parent.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		dir, err := parent.OpenRoot(e.Name())
		if err != nil {
			continue
		}
		if lock, err := tryLock(dir); err == nil {
			parent.RemoveAll(e.Name())
			lock.Close()
		}
		dir.Close()
	}
}

// TokenPath returns the path of the token file.
func (d *Dir) TokenPath() string { return filepath.Join(d.path, tokenName) }

// StatusPath returns the path of a file beside it, which has no token.
func (d *Dir) StatusPath() string { return filepath.Join(d.path, statusName) }

// WriteStatus makes this the text of that file.
func (d *Dir) WriteStatus(text string) error {
	return d.write(statusName, text)
}

// Write makes this the token in the file. It is not flushed to a disk: no token outlives
// the machine's next start.
func (d *Dir) Write(t ingressauth.Token) error {
	return d.write(tokenName, t.Reveal())
}

func (d *Dir) write(name, text string) error {
	if d.owner != nil {
		return readfile.WithoutPath(privatefile.WriteFor(d.dir, name, text, d.owner.uid, d.owner.gid))
	}
	return readfile.WithoutPath(privatefile.Write(d.dir, name, text, false))
}

// Remove removes the directory and what is in it.
func (d *Dir) Remove() error {
	if d.owner != nil { // who can have moved the directory
		d.dir.Remove(tokenName)
		d.dir.Remove(statusName)
	}
	err := d.parent.RemoveAll(filepath.Base(d.path))
	d.lock.Close()
	d.dir.Close()
	d.parent.Close()
	return err
}
