// Package proctree ends what descends from this process, which is to be the only one that
// does: it waits for children that it has not started. It is for programs that own their
// process, and no library.
package proctree

import "time"

const (
	// passEvery is how often it is looked whether all have ended.
	passEvery = 5 * time.Millisecond
	// killTime bounds how long what was killed is waited for: what hangs in the kernel
	// does not die, and another user's cannot be killed.
	killTime = 5 * time.Second
)
