//go:build linux || darwin || freebsd

package regular

import "syscall"

// NonBlock keeps the opening of a file from waiting.
const NonBlock = syscall.O_NONBLOCK
