//go:build !linux && !darwin && !freebsd

package main

import (
	"errors"
	"fmt"
	"os/exec"
)

// account is a user as whom the command is to run. There is none here.
type account struct {
	uid, gid int
	groups   []int
}

// lookupAccount says that the command cannot run as another user here.
func lookupAccount(string) (*account, error) {
	return nil, fmt.Errorf("%w: this system has no way to start the command as another user", errors.ErrUnsupported)
}

// apply does nothing.
func (a *account) apply(*exec.Cmd) {}

// environ returns what it gets.
func (a *account) environ(env []string) []string { return env }
