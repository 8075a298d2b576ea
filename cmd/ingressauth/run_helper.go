package main

import (
	"errors"
	"os/exec"
	"sync"
	"time"

	"github.com/ingressauth/ingressauth/internal/proctree"
)

// helpers runs the programs that print tokens, one at a time, as children of a process that
// reaps whatever child has ended, and now and then ends all that descend from it.
type helpers struct {
	lock    sync.Mutex // held where a child is started or reaped
	command int        // the command, for which somebody waits; 0 is none
	helper  *helper    // the program that runs; nil is none

	halted chan struct{} // closed when a program may be started again; nil where it may
}

// helper is a program that run waits for.
type helper struct {
	*exec.Cmd
	ended chan struct{}
}

// haltTime is how long is waited for a program after it was killed: another user's cannot be.
const haltTime = 5 * time.Second

var (
	errRuns   = errors.New("the last token command has not ended yet")
	errHalted = errors.New("the token command cannot be killed")
)

// run is (*exec.Cmd).Run. The program inherits no descriptor of the command's.
func (h *helpers) run(cmd *exec.Cmd) error {
	h.lock.Lock()
	for h.halted != nil { // whoever gives up waiting for this has the start fail
		halted := h.halted
		h.lock.Unlock()
		<-halted
		h.lock.Lock()
	}
	if h.helper != nil {
		h.lock.Unlock()
		return errRuns
	}
	if err := startIsolated(cmd); err != nil {
		h.lock.Unlock()
		return err
	}
	own := &helper{cmd, make(chan struct{})}
	h.helper = own
	h.reapLocked() // whom reap has left while this was started
	h.lock.Unlock()
	err := cmd.Wait()
	h.lock.Lock()
	defer h.lock.Unlock()
	h.helper = nil
	close(own.ended)
	h.reapLocked() // it may have been in the way of others
	return err
}

// startIsolated starts a program that inherits nothing of what was inherited.
func startIsolated(cmd *exec.Cmd) error {
	restore := keepInherited()
	defer restore()
	return cmd.Start()
}

// start starts the command.
func (h *helpers) start(start func() (pid int, err error)) error {
	h.lock.Lock()
	defer h.lock.Unlock()
	pid, err := start()
	h.command = pid
	return err
}

// reap waits for the children that have ended, but for those that somebody waits for. It does
// not wait for a program that is being started, after which the same is done.
func (h *helpers) reap() {
	if h.lock.TryLock() {
		defer h.lock.Unlock()
		h.reapLocked()
	}
}

func (h *helpers) reapLocked() {
	pids := []int{h.command}
	if h.helper != nil {
		pids = append(pids, h.helper.Process.Pid)
	}
	proctree.Reap(pids...)
}

// halt ends the program that runs, and has none be started until resume. It is called after the
// command's end. The error says that the program cannot be ended.
func (h *helpers) halt() error {
	deadline := time.Now().Add(haltTime)
	for !h.lock.TryLock() { // one that is being started may be on a file system that does not answer
		if time.Now().After(deadline) {
			return errHalted
		}
		time.Sleep(time.Millisecond)
	}
	h.command = 0
	if h.halted == nil {
		h.halted = make(chan struct{})
	}
	running := h.helper
	h.lock.Unlock()
	if running == nil {
		return nil
	}
	running.Cancel()
	select {
	case <-running.ended:
		return nil
	case <-time.After(time.Until(deadline)):
		return errHalted
	}
}

// resume has programs be started again.
func (h *helpers) resume() {
	h.lock.Lock()
	defer h.lock.Unlock()
	if h.halted != nil {
		close(h.halted)
		h.halted = nil
	}
}
