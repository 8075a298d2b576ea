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
// reaches them there, not even a SIGKILL for the group.
//
// When the command is stopped, the guard returns to the group and stops, too, so that a
// shell notices, and can continue both. When one continues, the other does.
//
// Where no shell controls jobs (the group is orphaned, as POSIX calls it), both leave the
// session, too. In it, they would be what connects the group to a shell: the command could
// be stopped, and the kernel would send a SIGHUP to all of the group, the runner as well,
// when the command ends while another in it is stopped. (A guard that leads the group
// stays; a supervisor that may have to start another command, which has to be of the
// session, has a group of its own all the same.)
//
// The leader of a session cannot leave its group. Then the command gets a group of its
// own, and the terminal. No shell is there that would continue it, so it is not stopped
// from the terminal, as it would not be without us.

// jobSignals are about jobs. The supervisor sends the guard stopRequest, which no terminal
// sends to who does not use it.
var jobSignals = []os.Signal{unix.SIGCHLD, unix.SIGTSTP, unix.SIGCONT}

const stopRequest = unix.SIGTTOU

// jobs is the supervisor's part.
type jobs struct {
	guard int  // the process that the user has started
	group int  // that it was started in
	leads bool // the guard leads its session
	shell bool // one controls the jobs of the session

	stopped   bool      // the guard was asked to stop
	continued time.Time // when it was last continued

	reap    func()      // waits for children that nobody else waits for
	settled *time.Timer // when it is looked whether both are in the same state
}

const (
	// echoTime is how long it takes at most until the guard passes on a SIGCONT to us that
	// we have sent to it, or that the command has got, too.
	echoTime = 200 * time.Millisecond
	// settleTime is how long after a change both should be in the same state.
	settleTime = 100 * time.Millisecond
)

func newJobs(reap func()) *jobs {
	j := &jobs{reap: reap, guard: os.Getppid(), group: unix.Getpgrp(), settled: time.NewTimer(0)}
	j.settled.Stop()
	session, err := unix.Getsid(0)
	if j.leads = err == nil && session == j.guard; j.leads {
		unix.Setpgid(0, 0)
	}
	j.shell = isControlled(j.guard)
	return j
}

// isControlled reports whether the process group of a process, or one that it descends
// from in it, has a parent in another group of the session: a shell that controls jobs.
func isControlled(pid int) bool {
	group, err := unix.Getpgid(pid)
	session, e := unix.Getsid(pid)
	for err == nil && e == nil {
		pid = proctree.Parent(pid)
		var g, s int
		g, err = unix.Getpgid(pid)
		s, e = unix.Getsid(pid)
		if pid <= 0 || g != group || s != session {
			return pid > 0 && err == nil && e == nil && s == session
		}
	}
	return false
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
// there is one in it. Who has left the session cannot come back.
func (j *jobs) rejoin() {
	if !j.leads {
		unix.Setpgid(0, j.group)
	}
}

// started steps aside, or hands the command the terminal.
func (j *jobs) started(pid int, last bool) {
	switch {
	case j.leads:
		j.handTerminal(pid)
	case j.shell || !last:
		unix.Setpgid(0, 0)
	default:
		unix.Setsid()
	}
}

// handTerminal puts a group in the foreground of the terminal, if the one that we were
// started in is there, and reports whether it is in the foreground then.
func (j *jobs) handTerminal(group int) bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	if front, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP); err != nil || front != j.group {
		return err == nil && front == group
	}
	// Whoever is in the background is stopped for that, unless the signal is ignored. It
	// is for this one call, as the command would inherit it.
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	return unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPGRP, group) == nil
}

// changed reports whether a signal is about the command's state, and does what follows.
func (j *jobs) changed(s os.Signal, pid int) bool {
	if s != unix.SIGCHLD {
		return false
	}
	j.reap()
	why, continued := proctree.StopState(pid)
	switch {
	case j.orphaned():
	case continued:
		j.continueGuard()
		j.settled.Reset(settleTime)
	case why == 0:
	case !j.leads:
		j.stopped = true
		unix.Kill(j.guard, stopRequest)
		j.settled.Reset(settleTime)
	case why == unix.SIGTSTP, why != unix.SIGSTOP && j.handTerminal(pid):
		unix.Kill(-pid, unix.SIGCONT)
	}
	return true
}

// settle has the guard be in the state that the command is in. A shell continues both at
// once, and the command may stop again before anybody has noticed.
func (j *jobs) settle(pid int) {
	switch command, guard := proctree.IsStopped(pid), proctree.IsStopped(j.guard); {
	case j.leads || command == guard || j.orphaned():
	case command:
		j.stopped = true
		unix.Kill(j.guard, stopRequest)
	default:
		j.stopped = true
		j.continueGuard()
	}
}

// settling has something when settle is to be called.
func (j *jobs) settling() <-chan time.Time { return j.settled.C }

// ended is called after the command's end. One that was stopped is not continued for that.
func (j *jobs) ended() { j.continueGuard() }

// continueGuard continues the guard, if it was asked to stop.
func (j *jobs) continueGuard() {
	if j.stopped {
		j.stopped, j.continued = false, time.Now()
		unix.Kill(j.guard, unix.SIGCONT)
	}
}

// passes reports whether the command is to get a signal that we have got. A SIGCONT is for
// a command that is stopped, where a shell has not reached it with its own.
func (j *jobs) passes(s os.Signal, pid int) bool {
	if s != unix.SIGCONT {
		return true
	}
	if !j.stopped {
		return time.Since(j.continued) > echoTime
	}
	j.stopped, j.continued = false, time.Now()
	if !proctree.IsStopped(pid) {
		return false
	}
	if group, err := unix.Getpgid(pid); err == nil && group != j.group {
		j.handTerminal(group) // a shell has put ours there
	}
	return true
}

// hurries reports whether a signal says that the grace is to be cut short.
func (j *jobs) hurries(s os.Signal) bool { return endsJobs(s) || s != unix.SIGCHLD && j.orphaned() }

func duplicateTo(from, to int) error { return unix.Dup3(from, to, 0) }
