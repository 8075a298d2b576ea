//go:build linux || darwin || freebsd

package refresh

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownSession gives a program a session of its own, so that it has no terminal to ask somebody for
// a password on, and fails in place of waiting; and has it be killed with all that are in its
// process group.
func ownSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error {
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		if err == unix.ESRCH {
			return os.ErrProcessDone
		}
		return err
	}
}
