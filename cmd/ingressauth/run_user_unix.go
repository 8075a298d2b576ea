//go:build linux || darwin || freebsd

package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// account is a user as whom the command is to run.
type account struct {
	name, home string // empty without an entry in the user database
	uid, gid   int
	groups     []int // all of them, the primary one included
}

// lookupAccount returns the user of this name or number. A name comes first, as names can be
// made of digits. A number without an entry is taken, with a group of the same number.
func lookupAccount(text string) (*account, error) {
	shown := tokentext.Shown(text)
	u, err := user.Lookup(text)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		n, e := strconv.ParseUint(text, 10, 32)
		if e != nil || n == math.MaxUint32 { // which is "no user" to the kernel
			return nil, fmt.Errorf("there is no user %s: give a name of the user database, or a number", shown)
		}
		u, err = user.LookupId(strconv.FormatUint(n, 10))
		if _, unknown := errors.AsType[user.UnknownUserIdError](err); unknown {
			return &account{uid: int(n), gid: int(n), groups: []int{int(n)}}, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look up user %s: %w", shown, err)
	}
	a := &account{name: u.Username, home: u.HomeDir}
	names, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("look up the groups of user %s: %w", shown, err)
	}
	if a.uid, err = parseID(u.Uid); err != nil {
		return nil, fmt.Errorf("number of user %s: %w", shown, err)
	}
	if a.gid, err = parseID(u.Gid); err != nil {
		return nil, fmt.Errorf("group of user %s: %w", shown, err)
	}
	a.groups = []int{a.gid}
	for _, name := range names {
		id, err := parseID(name)
		if err != nil {
			return nil, fmt.Errorf("groups of user %s: %w", shown, err)
		}
		if !slices.Contains(a.groups, id) {
			a.groups = append(a.groups, id)
		}
	}
	return a, nil
}

// ownerOf returns the user whose a file is.
func ownerOf(path string) (uid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return int(info.Sys().(*syscall.Stat_t).Uid), nil
}

// parseID reads a number of a user or a group.
func parseID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == math.MaxUint32 {
		return 0, errors.New("the user database has something else than a number")
	}
	return int(n), nil
}

// apply has the command run as this user, in no group but this user's. What else the command is
// to be started with stays as it is.
func (a *account) apply(cmd *exec.Cmd) {
	attr := new(syscall.SysProcAttr)
	if cmd.SysProcAttr != nil {
		*attr = *cmd.SysProcAttr
	}
	attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	for _, g := range a.groups {
		attr.Credential.Groups = append(attr.Credential.Groups, uint32(g))
	}
	cmd.SysProcAttr = attr
}

// environ returns these variables with HOME, USER and LOGNAME of this user, as su has them, at
// the end. Where nobody knows what they are, the command has none of them, rather than ours.
func (a *account) environ(env []string) []string {
	const home, name, login = "HOME", "USER", "LOGNAME"
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		key, _, ok := strings.Cut(entry, "=")
		return ok && (key == home || key == name || key == login)
	})
	if a.home != "" {
		env = append(env, home+"="+a.home)
	}
	if a.name != "" {
		env = append(env, name+"="+a.name, login+"="+a.name)
	}
	return env
}
