package broker

import (
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/ingressauth/ingressauth/internal/loopback"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// unixIntro is what the address of a Unix socket begins with.
const unixIntro = "unix:"

// maxConnections is how many clients a listener has at once. More wait.
const maxConnections = 4096

// Listener is an address at which a [Broker] takes requests.
type Listener struct {
	broker *Broker
	inner  net.Listener
	url    string
	socket *socket // nil for a port
	routes []*route

	// Of a port: what a request's Host, and its Origin, may be.
	port  string
	hosts map[string]bool // as most clients write it

	slots chan struct{}
	ended chan struct{} // closed with the listener
	once  sync.Once
}

// acceptor is a Listener as the server sees it.
type acceptor struct{ *Listener }

// URL returns the base URL for clients, as in "http://127.0.0.1:1234". For a Unix socket it is
// "unix:PATH": clients connect there, and name any host, as in "http://localhost".
func (l *Listener) URL() string { return l.url }

// listen opens an address.
func (b *Broker) listen(address string) (*Listener, error) {
	l := &Listener{broker: b, slots: make(chan struct{}, maxConnections), ended: make(chan struct{})}
	for _, whose := range []string{address, ""} { // its own, or else those of all
		for _, r := range b.routes {
			if r.listener == whose {
				l.routes = append(l.routes, r)
			}
		}
		if len(l.routes) > 0 {
			break
		}
	}
	if path, ok := strings.CutPrefix(address, unixIntro); ok {
		s, err := listenUnix(path)
		if err != nil {
			return nil, fmt.Errorf("listen on Unix socket %s: %w", tokentext.Shown(path), err)
		}
		l.inner, l.socket, l.url = s.listener, s, address
		return l, nil
	}
	var err error
	if l.inner, err = loopback.Listen(address); err != nil {
		return nil, err
	}
	own := l.inner.Addr().String()
	l.url = "http://" + own
	_, l.port, _ = net.SplitHostPort(own)
	l.hosts = map[string]bool{own: true, "localhost:" + l.port: true, "127.0.0.1:" + l.port: true}
	return l, nil
}

// isOwn reports whether a Host or an :authority names this port on this machine.
func (l *Listener) isOwn(authority string) bool {
	return l.hosts[authority] || loopback.Names(authority, l.port)
}

// isOwnOrigin reports whether an Origin (RFC 6454, section 7) is this port on this machine.
func (l *Listener) isOwnOrigin(origin string) bool {
	authority, ok := strings.CutPrefix(origin, "http://")
	return ok && l.isOwn(authority)
}

// Addr is the address; [net.Listener].
func (l acceptor) Addr() net.Addr { return l.inner.Addr() }

// Accept waits for a client; [net.Listener].
func (l acceptor) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.ended:
		return nil, net.ErrClosed
	}
	c, err := l.inner.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	made := &connection{gate: newGate(c, l.broker.config.MaxHeader), listener: l.Listener}
	if unix, ok := c.(*net.UnixConn); ok {
		made.child = l.broker.childOf(unix)
	}
	l.broker.lock.Lock()
	defer l.broker.lock.Unlock()
	l.broker.connections[made] = struct{}{}
	if l.broker.closed.Load() || made.child != nil && made.child.removed.Load() {
		go made.abort()
	}
	return made, nil
}

// Close has it take no more connections; [net.Listener].
func (l acceptor) Close() error {
	l.once.Do(func() { close(l.ended) })
	return l.inner.Close()
}
