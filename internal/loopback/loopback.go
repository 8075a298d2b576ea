// Package loopback says which hosts are this machine, so that plain HTTP to them shows
// nothing to a network.
package loopback

import "net/netip"

// Is reports whether a host is this one: "localhost" in lower case, or a loopback address
// without brackets. Names below localhost are not taken for it: resolvers ask the network
// for them.
func Is(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
