//go:build linux || darwin || freebsd

package refresh

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// killGroup has a program be killed with all that are in its process group, which is its own. So
// is its session: it has no terminal to ask somebody for a password on, and fails in place of
// waiting.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error {
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		if err == unix.ESRCH {
			return os.ErrProcessDone
		}
		return err
	}
}
