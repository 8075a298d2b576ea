//go:build linux || darwin || freebsd

package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// passedOn are the signals that the command gets from us, by name.
var passedOn = map[string]os.Signal{
	"INT": unix.SIGINT, "TERM": unix.SIGTERM, "HUP": unix.SIGHUP, "QUIT": unix.SIGQUIT,
	"USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2, "WINCH": unix.SIGWINCH,
}

const signalTerminate = unix.SIGTERM

const nonBlock = unix.O_NONBLOCK // so that no FIFO without a reader hangs us

func signalNames() []string { return slices.Sorted(maps.Keys(passedOn)) }

// endsJobs reports whether a signal is meant to end something.
func endsJobs(s os.Signal) bool {
	return s == unix.SIGINT || s == unix.SIGTERM || s == unix.SIGHUP || s == unix.SIGQUIT
}

// exitCode returns the exit code of a command as a shell gives it, and the number of the
// signal that ended it, or 0.
func exitCode(state *os.ProcessState) (code, number int) {
	if state == nil { // somebody else has waited for it
		return exitRun, 0
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), int(status.Signal())
	}
	return state.ExitCode(), 0
}

// isNotExecutable reports whether a file is there, and the kernel cannot execute it.
func isNotExecutable(err error) bool {
	for _, e := range []error{fs.ErrPermission, unix.ENOEXEC, unix.EISDIR, unix.ETXTBSY, unix.ELOOP, unix.ENOTDIR, unix.E2BIG} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// canWrite reports whether a descriptor was inherited, and can be written to.
func canWrite(n int) bool {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 { // our own
		return false
	}
	mode, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	return err == nil && mode&unix.O_ACCMODE != unix.O_RDONLY
}

// keepFromChildren has no child inherit a descriptor.
func keepFromChildren(n int) { unix.CloseOnExec(n) }

// discard lets go of a standard stream, which is the command's by now: only then do others
// learn that the command has closed it.
func discard(f *os.File) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	duplicateTo(int(null.Fd()), int(f.Fd()))
}
