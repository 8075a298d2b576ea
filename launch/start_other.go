//go:build !linux && !freebsd

package launch

import "os/exec"

// startChild starts a child. Nothing ends it here when this process dies.
func startChild(cmd *exec.Cmd, _ <-chan struct{}) error { return cmd.Start() }
