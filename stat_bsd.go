//go:build darwin || freebsd

package ingressauth

import (
	"time"
)

// birthTime is not asked for: a rename to a number that was given back is then taken
// for a change in place, and believed 20 ms later.
func birthTime(string) time.Time { return time.Time{} }

// isOverflowUser reports false: there are no user namespaces.
func isOverflowUser(int) bool { return false }
