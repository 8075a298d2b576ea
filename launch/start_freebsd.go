package launch

import "os/exec"

// startChild starts a child that does not outlive this process, whichever of its threads
// has started it (procctl(2), PROC_PDEATHSIG_CTL).
func startChild(cmd *exec.Cmd, _ <-chan struct{}) error {
	setParentDeathSignal(cmd)
	return cmd.Start()
}
