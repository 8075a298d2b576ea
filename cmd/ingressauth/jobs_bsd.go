//go:build darwin || freebsd

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

var jobSignals []os.Signal

// passes reports whether the command is to get a signal that we have got. One that a
// terminal can send is taken for the terminal's, which the command gets by itself, while we
// are in its foreground.
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
