package launch

import (
	"os/exec"
	"runtime"
)

// startChild starts a child that does not outlive this process. Its parent, to the kernel,
// is the thread that has started it, so that thread has to live until the child has ended
// (PR_SET_PDEATHSIG(2const)).
func startChild(cmd *exec.Cmd, ended <-chan struct{}) error {
	setParentDeathSignal(cmd)
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return <-started
}
