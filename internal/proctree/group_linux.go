package proctree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a control group (cgroups(7), version 2) in which a child is started, and all
// that descends from it stays: the kernel can kill that all at once, also what forks faster
// than it can be counted.
type Group struct {
	path string
	dir  *os.File // locked for as long as its owner lives
}

const groupPrefix = "ingressauth-"

// NewGroup makes a control group in the one that this process is in, if that was delegated
// to it and the kernel has all that is needed. Otherwise it returns nil. Groups there
// whose owners are dead are ended.
func NewGroup() *Group {
	parent, err := delegated()
	if err != nil {
		return nil
	}
	sweepGroups(parent)
	g := &Group{path: filepath.Join(parent, fmt.Sprintf("%s%d", groupPrefix, os.Getpid()))}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return nil
	}
	if g.dir, err = os.Open(g.path); err == nil {
		err = errors.Join(
			unix.Flock(int(g.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB),
			// Who may not move a process here may not start one here.
			unix.Access(filepath.Join(g.path, "cgroup.kill"), unix.W_OK),
			unix.Access(filepath.Join(parent, "cgroup.procs"), unix.W_OK),
		)
	}
	if kind, e := os.ReadFile(filepath.Join(g.path, "cgroup.type")); err != nil || e != nil || string(kind) != "domain\n" {
		g.Remove()
		return nil
	}
	return g
}

// delegated returns the directory of the control group that this process is in, if it is
// this process's to divide.
func delegated() (string, error) {
	// A call that cannot succeed tells whether the kernel, or a filter, knows it.
	if _, _, err := unix.Syscall(unix.SYS_CLONE3, 0, 0, 0); err != unix.EINVAL {
		return "", err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	var path string
	for line := range strings.Lines(string(own)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path = p
		}
	}
	mount, err := mountPoint()
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/..") {
		return "", errors.Join(err, fs.ErrNotExist)
	}
	dir := filepath.Join(mount, path)
	if os.Geteuid() != 0 {
		return dir, unix.Access(dir, unix.W_OK)
	}
	// Root may write anywhere. What its system manager has delegated it has marked; the
	// top is whose container this is.
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		value := make([]byte, 1)
		if n, err := unix.Getxattr(dir, name, value); err == nil && n == 1 && value[0] == '1' {
			return dir, nil
		}
	}
	if path == "/" {
		return dir, nil
	}
	return "", fs.ErrPermission
}

// mountPoint returns where control groups are mounted whose top is our own.
func mountPoint() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		// proc_pid_mountinfo(5): ID, parent, device, root, mount point ... - type
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" && !strings.Contains(fields[4], `\`) {
			return fields[4], nil
		}
	}
	return "", fs.ErrNotExist
}

// sweepGroups ends the groups of owners that are dead. It does what it can.
func sweepGroups(parent string) {
	paths, _ := filepath.Glob(filepath.Join(parent, groupPrefix+"*"))
	for _, path := range paths {
		g := &Group{path: path}
		var err error
		if g.dir, err = os.Open(path); err != nil {
			continue
		}
		if unix.Flock(int(g.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			g.kill()
			g.Remove()
		}
		g.dir.Close()
	}
}

// Descriptor returns the descriptor by which a child is started in the group.
func (g *Group) Descriptor() int { return int(g.dir.Fd()) }

func (g *Group) kill() {
	if g != nil {
		os.WriteFile(filepath.Join(g.path, "cgroup.kill"), []byte("1"), 0)
	}
}

// removeTime bounds how long a group is waited for that has just become empty.
const removeTime = time.Second

// Remove removes the group, and those that were made in it, when nothing is left in them.
func (g *Group) Remove() {
	if g == nil {
		return
	}
	for deadline := time.Now().Add(removeTime); ; time.Sleep(passEvery) {
		err := removeGroups(g.path)
		if err == nil || errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			break
		}
	}
	g.dir.Close()
}

func removeGroups(path string) error {
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if e.IsDir() {
			removeGroups(filepath.Join(path, e.Name()))
		}
	}
	return errors.Join(err, unix.Rmdir(path))
}

// SweepGroups ends the groups of owners that are dead, in the control group that this
// process is in.
func SweepGroups() {
	if parent, err := delegated(); err == nil {
		sweepGroups(parent)
	}
}
