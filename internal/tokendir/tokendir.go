// Package tokendir makes the directories in which token files of children are: one for each
// child, in the runtime directory of this user.
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
}

// New makes a directory in this user's own part of the runtime directory, and removes those
// there whose owners are dead.
func New() (*Dir, error) {
	path, err := runtimeDir()
	if err != nil {
		return nil, err
	}
	parent, err := openOwnDir(path)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", path, readfile.WithoutPath(err))
	}
	sweep(parent)
	d, err := makeDir(parent, path)
	if err != nil {
		parent.Close()
		return nil, fmt.Errorf("directory %s: %w", path, readfile.WithoutPath(err))
	}
	return d, nil
}

// Sweep removes the directories whose owners are dead. It does what it can.
func Sweep() {
	path, err := runtimeDir()
	if err != nil {
		return
	}
	if parent, err := os.OpenRoot(path); err == nil {
		sweep(parent)
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

func makeDir(parent *os.Root, path string) (*Dir, error) {
	for range tries {
		name := dirPrefix + rand.Text()
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
			return &Dir{parent, dir, lock, filepath.Join(path, name)}, nil
		}
		lock.Close()
		dir.Close()
		parent.RemoveAll(name)
	}
	return nil, errors.New("other processes remove what is made there")
}

func sweep(parent *os.Root) {
	entries, err := fs.ReadDir(parent.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), dirPrefix) {
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
	return readfile.WithoutPath(privatefile.Write(d.dir, statusName, text, false))
}

// Write makes this the token in the file. It is not flushed to a disk: no token outlives
// the machine's next start.
func (d *Dir) Write(t ingressauth.Token) error {
	return readfile.WithoutPath(privatefile.Write(d.dir, tokenName, t.Reveal(), false))
}

// Remove removes the directory and what is in it.
func (d *Dir) Remove() error {
	err := d.parent.RemoveAll(filepath.Base(d.path))
	d.lock.Close()
	d.dir.Close()
	d.parent.Close()
	return err
}
