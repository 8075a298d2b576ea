//go:build !linux && !darwin && !freebsd

package launch

import "errors"

// exec says that no process can be replaced here.
func (c *Cmd) exec() error { return errors.ErrUnsupported }
