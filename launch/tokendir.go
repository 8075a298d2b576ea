package launch

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

const (
	dirPrefix = "session-"
	tokenName = "token"
)

// tokenDir is the directory of one child's token file. It is locked (flock) for as long as
// this process has it open, by which others know that its owner is alive.
type tokenDir struct {
	parent, dir *os.Root
	lock        *os.File
	path        string
}

// newTokenDir makes a directory in this user's own part of the runtime directory, and
// removes those there whose owners are dead.
func newTokenDir() (*tokenDir, error) {
	path, err := runtimeDir()
	if err != nil {
		return nil, err
	}
	parent, err := openOwnDir(path)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", path, readfile.WithoutPath(err))
	}
	sweep(parent)
	d, err := makeTokenDir(parent, path)
	if err != nil {
		parent.Close()
		return nil, fmt.Errorf("directory %s: %w", path, readfile.WithoutPath(err))
	}
	return d, nil
}

// runtimeDir returns the path of this user's own part of the runtime directory.
func runtimeDir() (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", errors.New("XDG_RUNTIME_DIR is not an absolute path")
		}
		return filepath.Join(dir, "ingressauth"), nil
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

func makeTokenDir(parent *os.Root, path string) (*tokenDir, error) {
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
			return &tokenDir{parent, dir, lock, filepath.Join(path, name)}, nil
		}
		lock.Close()
		dir.Close()
		parent.RemoveAll(name)
	}
	return nil, errors.New("other processes remove what is made there")
}

// sweep removes the directories of owners that are dead. It does what it can.
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

func (d *tokenDir) tokenPath() string { return filepath.Join(d.path, tokenName) }

// write makes this the token in the file. It is not flushed to a disk: no token outlives
// the machine's next start.
func (d *tokenDir) write(t ingressauth.Token) error {
	return readfile.WithoutPath(privatefile.Write(d.dir, tokenName, t.Reveal(), false))
}

func (d *tokenDir) remove() error {
	err := d.parent.RemoveAll(filepath.Base(d.path))
	d.lock.Close()
	d.dir.Close()
	d.parent.Close()
	return err
}
