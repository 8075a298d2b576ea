package proctree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// passEvery is how often it is looked whether all have ended.
	passEvery = 5 * time.Millisecond
	// killTime bounds how long what was killed is waited for: what hangs in the kernel
	// does not die, and another user's cannot be killed.
	killTime = 5 * time.Second
)

// Check says whether processes can be seen here: /proc may be that of others, in which our
// numbers are others', too.
func Check() error {
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return errors.New("/proc is not mounted, or is that of another PID namespace")
	}
	return nil
}

// Adopt has orphans among this process's descendants become its children, so that none
// can leave the tree.
func Adopt() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// Reap waits for the children that have ended, but for these, for which somebody else waits.
// It does not block.
func Reap(but ...int) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		pid, _ := child(&info)
		if err != nil || pid == 0 || slices.Contains(but, pid) {
			return // that one is in the way of others: whoever waits for it asks again
		}
		unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// StopState says in what way a child's state has changed, if it has: it was stopped by
// a signal, or continued.
func StopState(pid int) (stopped syscall.Signal, continued bool) {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WCONTINUED|unix.WNOHANG, nil)
	who, status := child(&info)
	if err != nil || who != pid {
		return 0, false
	}
	const cldStopped, cldContinued = 5, 6 // sigaction(2), si_code
	switch info.Code {
	case cldStopped:
		return syscall.Signal(status), false
	case cldContinued:
		return 0, true
	}
	return 0, false
}

// child returns the fields si_pid and si_status, for which unix.Siginfo has no names. They
// are in a union that is aligned like a pointer.
func child(info *unix.Siginfo) (pid, status int) {
	const union = 2 + unsafe.Sizeof(uintptr(0))/4
	fields := (*[union + 3]int32)(unsafe.Pointer(info))
	return int(fields[union]), int(fields[union+2])
}

// process is one that was seen in /proc. A number that was given back belongs to another
// process, which was started later.
type process struct {
	pid, parent int
	state       byte
	terminal    bool // its session has one
	ended       bool // all of its threads have
	start       string
}

// look looks at a process once. It reports false if there is none.
func look(pid int) (process, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, false
	}
	// The name, in parentheses, can be anything.
	_, rest, ok := bytes.Cut(b[bytes.LastIndexByte(b, ')')+1:], []byte(" "))
	fields := bytes.Fields(rest) // from the third on
	if !ok || len(fields) < 20 {
		return process{}, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	// A process whose first thread has ended looks like a zombie, too.
	state, threads := fields[0][0], string(fields[17])
	ended := (state == 'Z' || state == 'X') && (threads == "0" || threads == "1")
	return process{pid, parent, state, string(fields[4]) != "0", ended, string(fields[19])}, err == nil
}

// Parent returns a process's parent, or 0 if it is not to be seen.
func Parent(pid int) int {
	p, _ := look(pid)
	return p.parent
}

// maxDepth bounds how far parents are followed, and walks how often that is tried: a process
// whose parent ends gets another while we look.
const (
	maxDepth = 1000
	walks    = 3
)

// Ancestor returns the first process that is one of these among a process, its parent, and so
// on, or 0. Every link of the way there was the same when it was read again: a number that was
// given to another process meanwhile leads nowhere. Whether the process is still the one that
// was meant is for the caller to say, by a handle.
func Ancestor(pid int, isOne func(pid int) bool) int {
	for range walks {
		way, found := climb(pid, isOne)
		if found == 0 {
			return 0
		}
		changed := slices.ContainsFunc(way, func(then process) bool {
			now, ok := look(then.pid)
			return !ok || now.parent != then.parent || now.start != then.start
		})
		if !changed {
			return found
		}
	}
	return 0
}

// climb returns the way from a process to the first that is one of these, and that one.
func climb(pid int, isOne func(pid int) bool) (way []process, found int) {
	for range maxDepth {
		p, ok := look(pid)
		if !ok {
			return nil, 0
		}
		way = append(way, p)
		if isOne(pid) {
			return way, pid
		}
		if pid = p.parent; pid <= 0 {
			return nil, 0
		}
	}
	return nil, 0
}

// IsStopped reports whether a process is stopped by a signal.
func IsStopped(pid int) bool {
	p, ok := look(pid)
	return ok && p.state == 'T'
}

// HasTerminal reports whether a process has a controlling terminal.
func HasTerminal(pid int) bool {
	p, _ := look(pid)
	return p.terminal
}

// HasStoppedChild reports whether a child of this process is stopped by a signal.
func HasStoppedChild(parent int) bool {
	children, err := byParent()
	return err == nil && slices.ContainsFunc(children[parent], func(p process) bool { return p.state == 'T' })
}

// byParent returns all processes, by their parents.
func byParent() (map[int][]process, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	children := make(map[int][]process)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := look(pid); ok {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	return children, nil
}

// descendants returns what descends from this process, zombies aside.
func descendants() (found []process, err error) {
	children, err := byParent()
	for next := children[os.Getpid()]; len(next) > 0; {
		p := next[0]
		next = append(next[1:], children[p.pid]...)
		if !p.ended {
			found = append(found, p)
		}
	}
	return found, err
}

// signal sends a signal to this very process.
func (p process) signal(s syscall.Signal) {
	// On Linux a handle (pidfd), if the kernel has those. What it is of is looked at
	// after it was opened.
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return
	}
	defer handle.Release()
	if now, ok := look(p.pid); ok && now.start == p.start {
		handle.Signal(s)
	}
}

// End ends what descends from this process: with SIGTERM, and with SIGKILL after the
// grace, or when hurry has something; without grace, with SIGKILL at once. What is in the
// group, which may be nil, is killed by the kernel all at once. It waits until nothing is
// left, and reaps.
func End(grace time.Duration, hurry <-chan struct{}, group *Group) error {
	if reapAll() {
		return nil
	}
	if grace > 0 {
		left, _ := descendants()
		for _, p := range left { // and not those that they start to end well
			p.signal(unix.SIGTERM)
			p.signal(unix.SIGCONT) // it may be stopped
		}
		if waitFor(grace, hurry) {
			return nil
		}
	}
	for deadline := time.Now().Add(killTime); ; time.Sleep(passEvery) {
		group.kill()
		left, err := descendants()
		for _, p := range left {
			p.signal(unix.SIGKILL)
		}
		if reapAll() {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("processes of the command are left that cannot be killed; %d can be seen", len(left)), err)
		}
	}
}

// waitFor waits until nothing is left, and reports whether that was in time.
func waitFor(grace time.Duration, hurry <-chan struct{}) bool {
	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	for pause := passEvery; ; pause = min(2*pause, 16*passEvery) {
		select {
		case <-timeout.C:
			return false
		case <-hurry:
			return false
		case <-time.After(pause):
		}
		if reapAll() {
			return true
		}
	}
}

// reapAll reaps, and reports whether no child is left. Then nothing is left at all: every
// orphan would be a child.
func reapAll() bool {
	Reap()
	var info unix.Siginfo
	return unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD
}
