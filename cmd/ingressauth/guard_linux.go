package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/ingressauth/ingressauth/internal/proctree"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// guard starts a supervisor, which does all the work, and waits. Of the two, whichever is
// killed, the other ends what is left: who is killed with SIGKILL can end nothing. So it
// passes signals on, stops when it is stopped, and has the exit code.
func guard(*cobra.Command, *runOptions, []string) error {
	signals := make(chan os.Signal, 64)
	listen(signals)
	if err := proctree.Adopt(); err != nil {
		return &runError{exitRun, err}
	}
	i := slices.Index(os.Args, "run")
	s := exec.Command("/proc/self/exe")
	s.Args = slices.Concat(os.Args[:i], []string{supervise}, os.Args[i+1:])
	s.Stdin, s.Stdout, s.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The supervisor learns of our death by a signal, and looks whether it was that.
	s.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}
	runtime.LockOSThread() // to the kernel, this thread is its parent
	if err := s.Start(); err != nil {
		return &runError{exitRun, err}
	}
	discard(os.Stdin)
	discard(os.Stdout)
	ended := make(chan struct{})
	go func() {
		s.Wait()
		close(ended)
	}()
	aside := make(chan struct{})
	go func() {
		defer close(aside)
		stepAside(s.Process.Pid, ended)
	}()
	for {
		select {
		case <-ended:
			<-aside
			return outcome(s.ProcessState)
		case got := <-signals:
			if got != unix.SIGCHLD {
				s.Process.Signal(got)
			}
		}
	}
}

// stepAside has this process follow the supervisor into its group, when that has started
// the command (see jobs). A process that leads its session stays where it is.
func stepAside(supervisor int, ended <-chan struct{}) {
	if session, err := unix.Getsid(0); err != nil || session == os.Getpid() {
		return
	}
	for {
		if group, err := unix.Getpgid(supervisor); err == nil && group == supervisor {
			unix.Setpgid(0, supervisor)
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// outcome is the supervisor's exit code, which is the command's. One that was killed has
// left everything to us.
func outcome(state *os.ProcessState) error {
	code, number := exitCode(state)
	if number == 0 {
		return exitStatus(code)
	}
	err := proctree.End(0, nil, nil)
	proctree.SweepGroups()
	return &runError{exitRun, errors.Join(
		fmt.Errorf("the supervising process was ended by signal %d, and with it the command and all that it had started", number), err)}
}
