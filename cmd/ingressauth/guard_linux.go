package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/ingressauth/ingressauth/internal/proctree"
	"github.com/ingressauth/ingressauth/internal/tokendir"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// guarding is the outer of run's two processes. The supervisor does all the work; of the
// two, whichever is killed, the other ends what is left, since who is killed with SIGKILL
// can end nothing. So the guard passes signals on, stops when it is asked to, and has the
// exit code.
type guarding struct {
	supervisor *exec.Cmd
	group      int // that we were started in
	leads      bool
	shell      bool // one controls the jobs of the session
	passed     map[os.Signal]bool
}

// guard starts a supervisor, and waits for it.
func guard(_ *cobra.Command, o *runOptions, _ []string) error {
	if o.brokered { // the environment that we were started with may have the token
		if err := hide(); err != nil {
			return &runError{exitRun, err}
		}
	}
	session, err := unix.Getsid(0)
	g := &guarding{group: unix.Getpgrp(), leads: err == nil && session == os.Getpid(), shell: isControlled(os.Getpid()), passed: make(map[os.Signal]bool)}
	signals := make(chan os.Signal, 64)
	listen(signals)
	signal.Notify(signals, stopRequest)
	if err := errors.Join(proctree.Check(), proctree.Adopt()); err != nil {
		return &runError{exitRun, err}
	}
	g.supervisor = exec.Command("/proc/self/exe")
	g.supervisor.Args = slices.Insert(slices.Clone(os.Args), 1, supervise+strconv.Itoa(os.Getpid()))
	g.supervisor.Stdin, g.supervisor.Stdout, g.supervisor.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The supervisor learns of our death by a signal, and looks whether it was that.
	g.supervisor.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}
	runtime.LockOSThread() // to the kernel, this thread is its parent
	if err := g.supervisor.Start(); err != nil {
		return &runError{exitRun, fmt.Errorf("start the supervising process: %w", err)}
	}
	discard(os.Stdin)
	discard(os.Stdout)
	closeInherited(0)
	ended := make(chan struct{})
	go func() {
		g.supervisor.Wait()
		close(ended)
	}()
	g.followAside(signals, ended)
	for {
		select {
		case <-ended:
			// A group keeps the number of its leader from being given to another process,
			// and at the end of a container from being given back.
			unix.Setpgid(0, 0)
			return g.outcome()
		case got := <-signals:
			g.take(got, signals)
		}
	}
}

// followAside steps aside when the supervisor does, after it has started the command (see
// jobs).
func (g *guarding) followAside(signals chan os.Signal, ended <-chan struct{}) {
	for pause := time.Millisecond; !g.leads && !g.aside(); pause = min(2*pause, 64*time.Millisecond) {
		select {
		case <-ended:
			return
		case got := <-signals:
			g.take(got, signals)
		case <-time.After(pause): // the command may have to wait for its token
		}
	}
}

// aside steps aside, if the supervisor has, and reports that. Where no shell controls jobs we
// leave the session, too, if we do not lead the group that we are in.
func (g *guarding) aside() bool {
	pid := g.supervisor.Process.Pid
	group, err := unix.Getpgid(pid)
	if err != nil || group != pid {
		return false
	}
	if g.shell {
		unix.Setpgid(0, pid)
	} else {
		unix.Setsid()
	}
	return true
}

// take does what a signal asks for.
func (g *guarding) take(got os.Signal, signals chan os.Signal) {
	switch got {
	case unix.SIGCHLD:
		proctree.Reap(g.supervisor.Process.Pid) // it adopts whom others leave
	case stopRequest:
		if proctree.HasStoppedChild(g.supervisor.Process.Pid) { // and was not continued since
			g.stop(signals)
		}
	default:
		g.passed[got] = true
		g.supervisor.Process.Signal(got)
	}
}

// stop stops, in the group that a shell knows and continues. Requests to stop that have
// come meanwhile are old.
func (g *guarding) stop(signals chan os.Signal) {
	if g.shell {
		unix.Setpgid(0, g.group)
	}
	unix.Kill(os.Getpid(), unix.SIGSTOP) // which reaches this thread some time later
	for got := range signals {
		if got != stopRequest {
			g.take(got, signals)
		}
		if got == unix.SIGCONT {
			break
		}
	}
	g.aside()
}

// outcome is the supervisor's exit code, which is the command's. One that was killed has
// left everything to us.
func (g *guarding) outcome() error {
	err := proctree.End(0, nil, nil)
	code, number := exitCode(g.supervisor.ProcessState)
	switch {
	case number == 0:
		return exitStatus(code)
	case g.passed[syscall.Signal(number)]: // it came before the supervisor could take it
		return exitStatus(code)
	}
	proctree.SweepGroups()
	tokendir.Sweep()
	return &runError{exitRun, errors.Join(
		fmt.Errorf("the supervising process was ended by signal %d, and with it the command and all that it had started", number), err)}
}
