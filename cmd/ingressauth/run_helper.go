package main

import (
	"errors"
	"os/exec"
	"sync"

	"github.com/ingressauth/ingressauth/internal/proctree"
)

// helpers runs the programs that print tokens, one at a time, as children of a process that
// reaps whatever child has ended, and now and then ends all that descend from it.
type helpers struct {
	lock    sync.Mutex // held where a child is started or reaped
	command int        // the command, for which somebody waits; 0 is none
	helper  *exec.Cmd  // the program that runs, for which run waits; nil is none
	ended   chan struct{}
	halted  bool
}

var errHalted = errors.New("what descends from the command is being ended")

// run is (*exec.Cmd).Run. The program inherits no descriptor of the command's.
func (h *helpers) run(cmd *exec.Cmd) error {
	h.lock.Lock()
	if h.halted {
		h.lock.Unlock()
		return errHalted
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

// halt ends the program that runs, and has none be started until resume.
func (h *helpers) halt() {
	h.lock.Lock()
	h.halted = true
	helper, ended := h.helper, h.ended
	h.lock.Unlock()
	if helper != nil {
		helper.Cancel()
		<-ended
	}
}

func (h *helpers) resume() {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.halted = false
}
