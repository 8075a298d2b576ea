//go:build !linux

package landlock

import (
	"errors"
	"fmt"
)

var errNotLinux = fmt.Errorf("%w: only Linux keeps a user's processes from reading each other's memory and environment (Landlock)", errors.ErrUnsupported)

// Available says that there is no Landlock here.
func Available() error { return errNotLinux }

// Do says so, too, and calls nothing.
func Do(func() error) error { return errNotLinux }

// RestrictThread says so, too.
func RestrictThread() error { return errNotLinux }
