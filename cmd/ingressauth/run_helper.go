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
	helper  *exec.Cmd  // the program that runs, for which run waits; nil is none
	ended   chan struct{}

	halted chan struct{} // closed when a program may be started again; nil where it may
}

// killTime is how long is waited for a program after it was killed: another user's cannot be.
const killTime = 5 * time.Second

// run is (*exec.Cmd).Run. The program inherits no descriptor of the command's.
func (h *helpers) run(cmd *exec.Cmd) error {
	h.lock.Lock()
	for h.halted != nil { // whoever gives up waiting for this has the start fail
		halted := h.halted
		h.lock.Unlock()
		<-halted
		h.lock.Lock()
	}
	keep := keepInherited()
	err := cmd.Start()
	keep()
	if err != nil {
		h.lock.Unlock()
		return err
	}
	h.helper, h.ended = cmd, make(chan struct{})
	h.lock.Unlock()
	err = cmd.Wait()
	h.lock.Lock()
	defer h.lock.Unlock()
	close(h.ended)
	h.helper = nil
	h.reapLocked() // it may have been in the way of others
	return err
}

// start starts the command.
func (h *helpers) start(start func() (pid int, err error)) error {
	h.lock.Lock()
	defer h.lock.Unlock()
	pid, err := start()
	h.command = pid
	return err
}

// reap waits for the children that have ended, but for those that somebody waits for.
func (h *helpers) reap() {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.reapLocked()
}

func (h *helpers) reapLocked() {
	pids := []int{h.command}
	if h.helper != nil {
		pids = append(pids, h.helper.Process.Pid)
	}
	proctree.Reap(pids...)
}

// halt ends the program that runs, and has none be started until resume. The error says that it
// cannot be ended.
func (h *helpers) halt() error {
	h.lock.Lock()
	if h.halted == nil {
		h.halted = make(chan struct{})
	}
	helper, ended := h.helper, h.ended
	h.lock.Unlock()
	if helper == nil {
		return nil
	}
	helper.Cancel()
	select {
	case <-ended:
		return nil
	case <-time.After(killTime):
		return errors.New("the token command cannot be killed")
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
