//go:build linux || darwin || freebsd

package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// pipeTime bounds how long a pipe is written to that nobody reads yet.
const pipeTime = time.Second

func (c *Cmd) exec() error {
	if err := c.check(); err != nil {
		return err
	}
	if c.delivers(File) {
		return errors.New("nobody is left to take the token file away: start the program, or deliver otherwise")
	}
	if c.Command.Err != nil {
		return c.Command.Err
	}
	env, err := c.environment()
	if err != nil {
		return err
	}
	if c.delivers(Descriptor) {
		number, done, err := c.passSecret()
		if err != nil {
			return fmt.Errorf("deliver by descriptor: %w", err)
		}
		defer done()
		select {
		case <-c.secret.written:
		case <-time.After(pipeTime):
			return errors.New("deliver by descriptor: a pipe has no room for the token")
		}
		// Nothing that was inherited has this number, but the runtime may: from here on
		// there is no way back.
		if err := moveTo(c.secret.File, number); err != nil {
			return fmt.Errorf("deliver by descriptor: %w", err)
		}
		env = append(env, fmt.Sprintf("%s=%d", c.profile.DescriptorVariable, number))
	}
	replace := syscall.Exec
	if c.Confine {
		replace = replaceConfined
	}
	err = replace(c.Command.Path, c.Command.Args, env)
	return &fs.PathError{Op: "exec", Path: c.Command.Path, Err: err}
}
