//go:build linux || freebsd

package launch

import (
	"os/exec"
	"syscall"
)

// setParentDeathSignal has the system kill the child when its parent dies, unless the
// caller names another signal. The caller's attributes stay as they are.
func setParentDeathSignal(cmd *exec.Cmd) {
	var attr syscall.SysProcAttr
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	if attr.Pdeathsig == 0 {
		attr.Pdeathsig = syscall.SIGKILL
	}
	cmd.SysProcAttr = &attr
}
