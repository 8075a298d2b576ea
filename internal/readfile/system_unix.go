//go:build linux || darwin || freebsd

package readfile

import "syscall"

// nonBlock keeps the opening of a file from waiting.
const nonBlock = syscall.O_NONBLOCK
