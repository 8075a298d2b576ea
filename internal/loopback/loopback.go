// Package loopback says which hosts are this machine, so that plain HTTP to them shows
// nothing to a network, and listens there.
package loopback

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

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

// Names reports whether a Host or an :authority (RFC 9110, section 7.2) names this machine with this
// port. What names another was sent by a page that has had its own name lead here.
func Names(authority, port string) bool {
	host, of, err := net.SplitHostPort(authority)
	if err != nil { // there is no port
		host, of = strings.Trim(authority, "[]"), "80"
	}
	host = strings.ToLower(host)
	if a, err := netip.ParseAddr(host); err == nil && a.Zone() != "" {
		return false
	}
	return of == port && Is(host)
}

// Check says whether one can listen on an address here: a port of this machine that no network
// reaches.
func Check(address string) error {
	_, err := local(address)
	return err
}

// Listen listens there.
func Listen(address string) (net.Listener, error) {
	address, err := local(address)
	if err != nil {
		return nil, err
	}
	return net.Listen("tcp", address)
}

// local returns an address as a number.
func local(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !Is(host) {
		return "", errors.New(`an address is a loopback address and a port, as "127.0.0.1:8080": others can be reached from the network`)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", errors.New("a port is a number up to 65535; 0 is any that is free")
	}
	if host == "localhost" { // whatever that resolves to
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
