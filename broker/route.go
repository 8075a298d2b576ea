package broker

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"github.com/ingressauth/ingressauth/internal/origin"
	"github.com/ingressauth/ingressauth/internal/tokentext"
	"github.com/ingressauth/ingressauth/internal/webclient"
)

// Route says which requests go to an upstream.
type Route struct {
	// Name is what the route is called in records and metrics. "" means Listener and Prefix, or
	// "/" if both are empty.
	Name string

	// Listener is the address of a listener, as [Broker.Listen] is given it, whose requests
	// these are. "" means those of all listeners that no other route names. A route for a
	// listener that is never opened serves nothing.
	Listener string

	// Prefix is what their paths begin with: "/" or "/name/". It is not sent: with "/name/",
	// a request for /name/v1 is sent as one for /v1, and one for /name as one for /. The longest
	// prefix wins. "" means "/".
	Prefix string

	// Upstream is the origin that they go to: scheme, host and, if it is not the scheme's
	// own, port, as in "https://service.example:8443". The scheme "http" is for localhost, which
	// is 127.0.0.1 here, and loopback addresses alone.
	Upstream string

	// Allow are rules, of which a request must meet one: methods, with commas between them or
	// * for all, and a path, as in "GET,HEAD /v1/items" or "* /v1/items/". A path that ends in
	// a slash means all that begins with it. It is compared with the path that is sent. With
	// rules, a request is refused whose path servers read differently: with an encoded slash
	// or control character, with a backslash, or with dots before a semicolon; or that names
	// another method or path in a field, as X-HTTP-Method-Override. None allows everything. (TRACE
	// and CONNECT are never allowed.)
	Allow []string
}

func (r Route) name() string { return cmp.Or(r.Name, r.Listener+r.Prefix, "/") }

// route is a Route that was checked.
type route struct {
	name     string
	listener string
	prefix   string
	scheme   string
	host     string // and port
	origin   string
	rules    []rule
	failing  atomic.Bool // and that was said
}

type rule struct {
	methods []string // nil means all
	path    string
}

func newRoute(r Route) (*route, error) {
	prefix := cmp.Or(r.Prefix, "/")
	if t, err := normalize(prefix); err != nil || t.path != prefix || t.query != "" || !strings.HasSuffix(prefix, "/") {
		return nil, errors.New(`a prefix is a path that begins and ends with a slash, as "/name/"`)
	}
	u, err := origin.Parse(r.Upstream)
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	if !webclient.IsTrustworthy(u) {
		return nil, errors.New("an upstream is reached by https, or by http if it is localhost or a loopback address: plain HTTP shows the token to everyone on the way")
	}
	made := &route{name: r.name(), listener: r.Listener, prefix: prefix, scheme: u.Scheme, host: u.Host, origin: u.String()}
	for _, text := range r.Allow {
		rule, err := newRule(text)
		if err != nil {
			return nil, err
		}
		made.rules = append(made.rules, rule)
	}
	return made, nil
}

func newRule(text string) (rule, error) {
	methods, path, ok := strings.Cut(text, " ")
	t, err := normalize(path)
	if !ok || err != nil || t.path != path || t.query != "" || t.doubtful {
		return rule{}, errors.New(`a rule is methods, a space, and a path without a query or needless encoding, as "GET,HEAD /v1/items" or "* /v1/items/"`)
	}
	if strings.HasSuffix(path, "*") {
		return rule{}, errors.New(`a path that ends in a slash means all that begins with it, and no * is needed: "GET /v1/"`)
	}
	if methods == "*" {
		return rule{path: path}, nil
	}
	list := strings.Split(methods, ",")
	for _, m := range list {
		if !isToken(m) || isForbidden(m) {
			return rule{}, errors.New("a rule begins with methods, with commas between them, or with *; TRACE and CONNECT are never allowed")
		}
		if upper := strings.ToUpper(m); m != upper && slices.Contains(usual, upper) {
			return rule{}, errors.New("a method is written in capitals, as " + upper)
		}
	}
	return rule{list, path}, nil
}

// usual are methods that have to be meant where they stand in another case, in which they are others.
var usual = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// isForbidden reports whether a method is no upstream's business here: CONNECT makes a tunnel of
// a connection, and the others have a server show what it was sent, the token as well.
func isForbidden(method string) bool {
	return strings.EqualFold(method, "TRACE") || strings.EqualFold(method, "TRACK") || strings.EqualFold(method, "CONNECT")
}

func (r rule) allows(method, path string) bool {
	if r.methods != nil && !slices.Contains(r.methods, method) {
		return false
	}
	return path == r.path || strings.HasSuffix(r.path, "/") && strings.HasPrefix(path, r.path)
}

// allows reports whether a request may be sent with this path.
func (r *route) allows(method string, path string) bool {
	return len(r.rules) == 0 || slices.ContainsFunc(r.rules, func(rule rule) bool { return rule.allows(method, path) })
}

// strip returns the path that is sent for one that begins with the route's prefix, and whether
// it does.
func (r *route) strip(path string) (string, bool) {
	switch {
	case r.prefix == "/":
		return path, true
	case strings.HasPrefix(path, r.prefix):
		return path[len(r.prefix)-1:], true
	case path == r.prefix[:len(r.prefix)-1]:
		return "/", true
	}
	return "", false
}

// newRoutes checks routes, and sorts them so that the first that fits is the one.
func newRoutes(list []Route) ([]*route, error) {
	if len(list) == 0 {
		return nil, errors.New("no route: name an upstream")
	}
	var routes []*route
	for _, r := range list {
		made, err := newRoute(r)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", tokentext.Shown(r.name()), err)
		}
		for _, other := range routes {
			if other.listener == made.listener && other.prefix == made.prefix {
				return nil, fmt.Errorf("route %s: two upstreams for one prefix of one listener", tokentext.Shown(made.name))
			}
		}
		routes = append(routes, made)
	}
	sort.SliceStable(routes, func(i, j int) bool { return len(routes[i].prefix) > len(routes[j].prefix) })
	return routes, nil
}

// isToken reports whether s is a token in the sense of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenOctets[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenOctets = func() (set [256]bool) {
	for c := range set {
		set[c] = isUnreserved(byte(c)) || c < 0x80 && strings.IndexByte("!#$%&'*+^`|", byte(c)) >= 0
	}
	return set
}()
