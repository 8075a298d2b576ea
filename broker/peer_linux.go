package broker

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/ingressauth/ingressauth/internal/proctree"
	"golang.org/x/sys/unix"
)

// peer is the process that has connected to a Unix socket.
type peer struct {
	handle int // a pidfd, which stays of that process, whoever gets its number later
	pid    int
}

// peerOf says who has connected, or had when it did so: a connection that was handed to
// another process since is still that one's. It needs Linux 6.5; before that there is only a
// number, which can be another process's by now.
func peerOf(c *net.UnixConn) (*peer, error) {
	connection, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &peer{handle: -1}
	var failed error
	err = connection.Control(func(fd uintptr) {
		p.handle, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("peer of a Unix socket: %w", err)
	}
	unix.CloseOnExec(p.handle)
	if p.pid, err = pidOf(p.handle); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// pidOf returns the number that a pidfd's process has in the PID namespace of /proc.
func pidOf(handle int) (int, error) {
	f, err := os.Open("/proc/self/fdinfo/" + strconv.Itoa(handle))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "Pid:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil || pid <= 0 { // it has ended, or is in another namespace
				break
			}
			return pid, nil
		}
	}
	return 0, errors.New("the peer of a Unix socket is not to be seen")
}

func (p *peer) close() { unix.Close(p.handle) }

// ancestor returns the first process that is one of these among the peer, its parent, and so
// on. It is 0 if there is none, or if the peer has ended.
func (p *peer) ancestor(isOne func(pid int) bool) int {
	found := proctree.Ancestor(p.pid, isOne)
	if !isAlive(p.handle) { // otherwise the number was the peer's all the while
		return 0
	}
	return found
}

// isAlive reports whether the process of a pidfd has not ended.
func isAlive(handle int) bool {
	fds := []unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR {
			return err == nil && n == 0
		}
	}
}

// supervisor is a child's, by a pidfd: once it has ended, its number means nothing.
type supervisor struct{ handle int }

// openSupervisor returns that of a process that is alive. A kernel without pidfds does not say
// who has connected either.
func openSupervisor(pid int) (*supervisor, error) {
	handle, err := unix.PidfdOpen(pid, 0)
	if err == unix.ENOSYS {
		return &supervisor{-1}, nil
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return &supervisor{handle}, nil
}

func (s *supervisor) isAlive() bool { return s.handle >= 0 && isAlive(s.handle) }

// close is called once. Whoever asks whether it is alive holds the broker's lock, under which the
// child has been taken from the others before.
func (s *supervisor) close() { unix.Close(s.handle) }

// canTellPeers reports whether this kernel says who has connected.
func canTellPeers() bool {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	handle, err := unix.GetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return false
	}
	unix.Close(handle)
	return proctree.Check() == nil
}
