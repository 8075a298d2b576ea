//go:build !linux && !darwin && !freebsd

package main

import (
	"errors"
	"fmt"
	"os"
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

// ownerOf returns this user: there is nothing else to tell by.
func ownerOf(string) (uid int, err error) { return os.Geteuid(), nil }

// apply does nothing.
func (a *account) apply(*exec.Cmd) {}

// environ returns what it gets.
func (a *account) environ(env []string) []string { return env }
