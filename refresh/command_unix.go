//go:build linux || darwin || freebsd

package refresh

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// killGroup has a program be killed with all that are in its process group, which is its own.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		if err == unix.ESRCH {
			return os.ErrProcessDone
		}
		return err
	}
}
