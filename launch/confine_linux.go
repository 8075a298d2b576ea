package launch

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"github.com/ingressauth/ingressauth/internal/landlock"
	"golang.org/x/sys/unix"
)

var errConfined = errors.New("a confined child takes neither Pdeathsig nor Ptrace: leave them out of SysProcAttr")

// startConfined starts a child in a Landlock domain of its own.
//
// The thread that starts it is in there, too, and has this process's memory: the child could
// read all of that through it. So the child is stopped (ptrace) before its first instruction,
// and goes on when that thread ends, for which nobody has to tell it to: the kernel lets go of
// what an ending thread traces, after it has taken the thread's memory and files away.
//
// (A signal that comes to the child between its last call before that, and that, stops it there,
// and Start waits until somebody kills it. It is a matter of a microsecond.)
//
// Therefore the system cannot end the child with this process, either. To the kernel, the
// child's parent is that thread, and has died.
func startConfined(cmd *exec.Cmd) error {
	attr := new(syscall.SysProcAttr)
	if cmd.SysProcAttr != nil {
		*attr = *cmd.SysProcAttr
	}
	if attr.Pdeathsig != 0 || attr.Ptrace {
		return errConfined
	}
	attr.Ptrace = true
	defer func(given *syscall.SysProcAttr) { cmd.SysProcAttr = given }(cmd.SysProcAttr)
	cmd.SysProcAttr = attr
	return landlock.Do(func() error {
		if err := cmd.Start(); errors.Is(err, unix.EPERM) { // which is not what files return
			return fmt.Errorf("%w: a confined child is started by means of ptrace, which must not be forbidden, or in use by a debugger", unix.EPERM)
		} else if err != nil {
			return err
		}
		awaitStop(cmd.Process.Pid)
		return nil
	})
}

// awaitStop waits until a traced child has stopped, and takes note of that, so that it goes on
// without the signal that has stopped it. One that was killed is left for Wait.
func awaitStop(pid int) {
	for _, options := range []int{unix.WSTOPPED | unix.WEXITED | unix.WNOWAIT, unix.WSTOPPED | unix.WNOHANG} {
		for unix.Waitid(unix.P_PID, pid, nil, options, nil) == unix.EINTR {
		}
	}
}

// replaceConfined is syscall.Exec for a program that is to be in a Landlock domain. All other
// threads end then. After an error the one that was restricted ends.
func replaceConfined(path string, args, env []string) (err error) {
	return landlock.Do(func() error { return syscall.Exec(path, args, env) })
}
