package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/ingressauth/ingressauth/internal/proctree"
	"golang.org/x/sys/unix"
)

// Three processes, and which group each is in:
//
//	guard       what the user has started, and waits for
//	supervisor  its child: all the work
//	command     its child
//
// The command stays in the process group that we were started in, where it has its place
// in a pipeline, and the terminal, as if we were not there: what a terminal sends to the
// group reaches it once. Both others step aside into a group of their own, so that nothing
// reaches them there, not even a SIGKILL for the group. When the command is stopped, the
// guard is, so that a shell notices; when it continues, the guard does.
//
// The leader of a session cannot leave its group. Then the command gets a group of its
// own, and the terminal. No shell is there that would continue it, so it is not stopped
// from the terminal, as it would not be without us.

var jobSignals = []os.Signal{unix.SIGCHLD, unix.SIGTSTP, unix.SIGCONT}

// jobs is the supervisor's part.
type jobs struct {
	guard    int      // the process that the user has started
	group    int      // that it was started in
	leads    bool     // the guard leads its session
	terminal *os.File // that is to be handed to the command; nil if none is

	stopped   bool      // the guard
	continued time.Time // when we have last continued it
}

// echoTime is how long it takes at most until the guard passes on a SIGCONT to us that we
// have sent to it.
const echoTime = 200 * time.Millisecond

func newJobs() *jobs {
	j := &jobs{guard: os.Getppid(), group: unix.Getpgrp()}
	session, err := unix.Getsid(0)
	j.leads = err == nil && session == j.guard
	if !j.leads {
		return j
	}
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		if front, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err == nil && front == j.group {
			j.terminal = tty
		} else {
			tty.Close()
		}
	}
	return j
}

// orphaned reports whether the guard is dead.
func (j *jobs) orphaned() bool { return os.Getppid() != j.guard }

// prepare says where the command is started.
func (j *jobs) prepare(command *exec.Cmd, group *proctree.Group) {
	attr := &syscall.SysProcAttr{Setpgid: j.leads}
	if group != nil {
		attr.UseCgroupFD, attr.CgroupFD = true, group.Descriptor()
	}
	command.SysProcAttr = attr
}

// rejoin enters the command's group, for the next one to be started in. It is called while
// there is one in it.
func (j *jobs) rejoin() {
	if !j.leads {
		unix.Setpgid(0, j.group)
	}
}

// started steps aside, or hands the command the terminal.
func (j *jobs) started(pid int) {
	if !j.leads {
		unix.Setpgid(0, 0)
		return
	}
	j.handTerminal(pid)
}

func (j *jobs) handTerminal(pid int) bool {
	if j.terminal == nil {
		return false
	}
	// Whoever is in the background is stopped for that, unless the signal is ignored. It
	// is for this one call, as the command would inherit it.
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	return unix.IoctlSetPointerInt(int(j.terminal.Fd()), unix.TIOCSPGRP, pid) == nil
}

// changed reports whether a signal is about the command's state, and does what follows.
func (j *jobs) changed(s os.Signal, pid int) bool {
	if s != unix.SIGCHLD {
		return false
	}
	proctree.Reap(pid)
	why, continued := proctree.StopState(pid)
	switch {
	case j.orphaned():
	case continued && j.stopped:
		j.continueGuard()
	case why == 0:
	case !j.leads:
		if j.stopped { // it was continued meanwhile, and a shell has to learn that, too
			j.continueGuard()
		}
		j.stopped = true
		unix.Kill(j.guard, unix.SIGSTOP)
	case why == unix.SIGTSTP, why != unix.SIGSTOP && j.handTerminal(pid):
		unix.Kill(pid, unix.SIGCONT)
	}
	return true
}

func (j *jobs) continueGuard() {
	j.stopped, j.continued = false, time.Now()
	unix.Kill(j.guard, unix.SIGCONT)
}

// passes reports whether the command is to get a signal that we have got.
func (j *jobs) passes(s os.Signal) bool {
	return s != unix.SIGCONT || time.Since(j.continued) > echoTime
}

// hurries reports whether a signal says that the grace is to be cut short.
func (j *jobs) hurries(s os.Signal) bool {
	return s != unix.SIGCHLD && (hurries(s) || j.orphaned())
}

func duplicateTo(from, to int) error { return unix.Dup3(from, to, 0) }
