package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ingressauth/ingressauth/internal/privatefile"
	"github.com/ingressauth/ingressauth/internal/readfile"
)

// socket is a Unix socket that nobody but this user can connect to.
type socket struct {
	listener *net.UnixListener
	dir      *os.Root
	name     string
	info     fs.FileInfo // of the socket, which another can have taken the place of
}

const (
	// maxSocketPath is what all systems take, in bytes.
	maxSocketPath = 103
	// dialTime bounds how long it is waited for whoever may listen on a socket.
	dialTime = time.Second
)

// listenUnix listens on a socket, mode 0600, in a directory of mode 0700, which is made if it
// is not there. Neither may be a link. One that nobody listens on is replaced, as whoever is
// killed leaves it.
func listenUnix(path string) (*socket, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return nil, errors.New("the path is not absolute, or not in its shortest form")
	}
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path is longer than %d bytes, which is all that a socket's can be", maxSocketPath)
	}
	dir, err := privatefile.OpenDir(filepath.Dir(path))
	if err != nil {
		return nil, readfile.WithoutPath(err)
	}
	s := &socket{dir: dir, name: filepath.Base(path)}
	if err := s.listen(path); err != nil {
		dir.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) listen(path string) error {
	info, err := s.dir.Stat(".")
	if err != nil {
		return readfile.WithoutPath(err)
	}
	if err := checkSocketDir(info); err != nil {
		return err
	}
	unlock, err := lockDir(s.dir) // so that of two who start now, one does not remove the other's
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.removeStale(path); err != nil {
		return err
	}
	s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	s.listener.SetUnlinkOnClose(false) // by a path that could be another's by then
	err = s.dir.Chmod(s.name, 0o600)
	if err == nil {
		s.info, err = s.dir.Lstat(s.name)
	}
	if err == nil && s.info.Mode().Type() != fs.ModeSocket {
		err = errors.New("its directory was replaced meanwhile")
	}
	if err != nil {
		s.listener.Close()
	}
	return readfile.WithoutPath(err)
}

// removeStale removes a socket that nobody listens on.
func (s *socket) removeStale(path string) error {
	info, err := s.dir.Lstat(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return readfile.WithoutPath(err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("something else is there, or a link: remove it, or name another path")
	}
	c, err := net.DialTimeout("unix", path, dialTime)
	if err == nil {
		c.Close()
		return errors.New("another process listens there")
	}
	if !isRefused(err) {
		return fmt.Errorf("another process may listen there: %w", readfile.WithoutPath(err))
	}
	return readfile.WithoutPath(s.dir.Remove(s.name))
}

// close removes the socket, if it is still ours.
func (s *socket) close() {
	if info, err := s.dir.Lstat(s.name); err == nil && os.SameFile(info, s.info) {
		s.dir.Remove(s.name)
	}
	s.dir.Close()
}
