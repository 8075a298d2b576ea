package ingressauth

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/ingressauth/ingressauth/internal/loopback"
	"github.com/ingressauth/ingressauth/internal/origin"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// namedOrigin is where a credential may go (RFC 6454, section 4), in lower case.
type namedOrigin struct {
	scheme string // "http" or "https"
	host   string // without the brackets of an IPv6 address
	port   string
	plain  string // host and port as most URLs have them
	unix   bool   // reached over a Unix socket, whatever its host is
}

// unixScheme marks an origin that is reached over a Unix socket.
const unixScheme = "unix"

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// namedOrigins are the origins that a program has named, parsed at their first use.
type namedOrigins struct {
	once    sync.Once
	origins []namedOrigin
	err     error
}

// parse parses the names once. Whatever is wrong with one is wrong with all, since
// a program that is refused at once is mended sooner.
func (n *namedOrigins) parse(names []string) error {
	n.once.Do(func() {
		if len(names) == 0 {
			n.err = ErrNoOrigins
		}
		for _, name := range names {
			o, err := parseOrigin(name)
			if err != nil {
				if strings.Contains(name, "@") { // then there may be a password in it
					name = "(hidden)"
				}
				n.err = fmt.Errorf("origin %s: %w", tokentext.Shown(name), err)
				return
			}
			n.origins = append(n.origins, o)
		}
	})
	return n.err
}

// parseOrigin parses what the comment of Transport.Origins says.
func parseOrigin(name string) (namedOrigin, error) {
	u, err := origin.Parse(name)
	if err != nil {
		return namedOrigin{}, err
	}
	o := namedOrigin{scheme: u.Scheme, host: u.Hostname(), port: u.Port(), plain: u.Host, unix: u.Scheme == unixScheme}
	switch o.scheme {
	case "https":
	case "http":
		if !loopback.Is(o.host) {
			return namedOrigin{}, errors.New("plain HTTP shows the token to everyone on the way, and may be named only for localhost and loopback addresses: use https")
		}
	case unixScheme:
		o.scheme = "http"
	case "ws", "wss":
		return namedOrigin{}, errors.New("a WebSocket begins as an HTTP request: write https for wss, and http for ws")
	default:
		return namedOrigin{}, errors.New("the scheme of an origin is https, http or unix")
	}
	o.port = cmp.Or(o.port, defaultPorts[o.scheme])
	return o, nil
}

// of returns the named origin that u is of, or nil. What is written in another way
// than the origin, letter case and the default port aside, is not of it. For plain
// HTTP letter case counts, too: [http.ProxyFromEnvironment] sends LOCALHOST, but not
// localhost, to a proxy.
func (n *namedOrigins) of(u *url.URL) *namedOrigin {
	if strings.HasPrefix(u.Opaque, "//") { // which is sent as another host
		return nil
	}
	for i := range n.origins {
		if o := &n.origins[i]; u.Host == o.plain && u.Scheme == o.scheme {
			return o
		}
	}
	host, port := u.Hostname(), u.Port()
	for i := range n.origins {
		o := &n.origins[i]
		if u.Scheme != o.scheme || len(host) != len(o.host) || !strings.EqualFold(host, o.host) {
			continue // of equal length, what folds to ASCII is ASCII
		}
		if o.scheme == "http" && !o.unix && host != o.host {
			continue
		}
		if port == o.port || port == "" && o.port == defaultPorts[o.scheme] {
			return o
		}
	}
	return nil
}

// anyUnix reports whether a named origin is reached over a Unix socket.
func (n *namedOrigins) anyUnix() bool {
	for _, o := range n.origins {
		if o.unix {
			return true
		}
	}
	return false
}
