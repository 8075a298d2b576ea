//go:build darwin || freebsd

package ingressauth

// isOverflowUser reports false: there are no user namespaces.
func isOverflowUser(int) bool { return false }
