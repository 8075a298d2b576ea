//go:build linux || darwin || freebsd

package refresh

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// killGroup has a program be killed with all that are in its process group, which is its own.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
}
