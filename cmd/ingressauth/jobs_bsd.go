//go:build darwin || freebsd

package main

import (
	"os"
	"os/exec"
	"time"

	"github.com/ingressauth/ingressauth/internal/proctree"
	"golang.org/x/sys/unix"
)

// Here there is one process of ours, in one group with the command, so that a terminal
// stops and continues both, and its signals reach the command by themselves.

var jobSignals []os.Signal

type jobs struct{}

func newJobs() *jobs { return &jobs{} }

func (*jobs) orphaned() bool { return false }

func (*jobs) prepare(*exec.Cmd, *proctree.Group) {}

func (*jobs) rejoin() {}

func (*jobs) started(int) {}

func (*jobs) ended() {}

func (*jobs) settle(int) {}

func (*jobs) settling() <-chan time.Time { return nil }

func (*jobs) changed(os.Signal, int) bool { return false }

// passes reports whether the command is to get a signal that we have got. One that a
// terminal can send is taken for the terminal's, while we are in its foreground.
func (*jobs) passes(s os.Signal, _ int) bool {
	if s != unix.SIGINT && s != unix.SIGQUIT && s != unix.SIGWINCH {
		return true
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return true
	}
	defer tty.Close()
	front, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err != nil || front != unix.Getpgrp()
}

func (*jobs) hurries(s os.Signal) bool { return endsJobs(s) }

func duplicateTo(from, to int) error { return unix.Dup2(from, to) }
