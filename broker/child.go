package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// ChildConfig says who a child is.
type ChildConfig struct {
	// Name is what it is called in records and metrics. Names need not differ.
	Name string

	// Scheme is how its phantom travels, and so what it looks like. "" means
	// [ingressauth.SchemeBearer].
	Scheme ingressauth.Scheme

	// Supervisor is the process that the child's processes descend from, and are left to when
	// their own parents end. What descends from it may use a Unix socket without a phantom. It
	// must be alive, and no other child's. 0 means that the phantom is required everywhere.
	Supervisor int

	// Expires is when the child is removed, if that is not done before. Zero means that it is
	// left to [Child.Remove].
	Expires time.Time
}

// Child is who may use a [Broker]: a process and what it starts.
type Child struct {
	broker  *Broker
	config  ChildConfig
	phantom string
	digest  [sha256.Size]byte

	supervisor *supervisor // nil without one
	expiry     *time.Timer // nil if it does not end by itself
	removed    atomic.Bool
}

// Add has a child use the broker, until it is removed.
func (b *Broker) Add(c ChildConfig) (*Child, error) {
	switch {
	case c.Supervisor < 0:
		return nil, errors.New("broker: a process has no negative number")
	case c.Scheme != "" && c.Scheme != ingressauth.SchemeBearer && c.Scheme != ingressauth.SchemeSessionKey:
		return nil, fmt.Errorf("broker: there is no scheme %s", tokentext.Shown(string(c.Scheme)))
	}
	child := &Child{broker: b, config: c, phantom: phantom.New(c.Scheme == ingressauth.SchemeSessionKey)}
	child.digest = sha256.Sum256([]byte(child.phantom))
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.closed.Load() {
		return nil, errClosed
	}
	for _, other := range b.children {
		if c.Supervisor != 0 && c.Supervisor == other.config.Supervisor {
			return nil, errors.New("broker: another child has this supervisor, and could not be told from this one")
		}
	}
	if c.Supervisor != 0 {
		var err error
		if child.supervisor, err = openSupervisor(c.Supervisor); err != nil {
			return nil, fmt.Errorf("broker: supervisor: %w", err)
		}
	}
	if !c.Expires.IsZero() {
		child.expiry = time.AfterFunc(time.Until(c.Expires), child.Remove)
	}
	b.children[child.digest] = child
	return child, nil
}

// Phantom is what the child has in place of a token. It stays the same when the token
// rotates, and is worth nothing but to this broker, while the child has not been removed.
func (c *Child) Phantom() ingressauth.Token {
	t, err := ingressauth.NewToken(c.phantom, "")
	if err != nil {
		panic(err) // it is made of what every header carries
	}
	return t
}

// Remove takes the phantom back, and ends at once what the child has open: its connections, and
// those to the upstreams that serve them. (A connection over which another child has sent
// requests since is that one's.) It may be called more than once.
func (c *Child) Remove() {
	b := c.broker
	b.lock.Lock()
	delete(b.children, c.digest)
	var open []*connection
	for o := range b.connections {
		if o.child == c || o.last.Load() == c {
			open = append(open, o)
		}
	}
	b.lock.Unlock()
	if c.removed.Swap(true) {
		return
	}
	if c.expiry != nil {
		c.expiry.Stop()
	}
	if c.supervisor != nil {
		c.supervisor.close()
	}
	// Who enters from now on sees that it was removed.
	for _, x := range b.open.which(func(x *exchange) bool { return x.child.Load() == c }) {
		x.abort()
	}
	for _, o := range open {
		o.abort()
	}
}

// holder returns the child that has this phantom, or nil.
func (b *Broker) holder(text string) *Child {
	digest := sha256.Sum256([]byte(text))
	b.lock.RLock()
	c := b.children[digest]
	b.lock.RUnlock()
	// How far a digest is compared by a map says nothing of the text.
	if c == nil || !c.has(text) {
		return nil
	}
	return c
}

// has reports whether this is the child's phantom, in a time that says nothing of how far it is.
func (c *Child) has(text string) bool {
	return !c.isOver() && subtle.ConstantTimeCompare([]byte(c.phantom), []byte(text)) == 1
}

// isOver reports whether the child was removed, or has expired: a timer stands still while the
// machine is suspended.
func (c *Child) isOver() bool {
	return c.removed.Load() || !c.config.Expires.IsZero() && !time.Now().Before(c.config.Expires.Round(0))
}

// childOf returns the child in whose tree the process is that has connected, or nil.
func (b *Broker) childOf(c *net.UnixConn) *Child {
	if !b.peers {
		return nil
	}
	supervisors := make(map[int]*Child)
	b.lock.RLock()
	defer b.lock.RUnlock()
	for _, child := range b.children {
		if child.supervisor != nil {
			supervisors[child.config.Supervisor] = child
		}
	}
	if len(supervisors) == 0 {
		return nil
	}
	p, err := peerOf(c)
	if err != nil {
		return nil
	}
	defer p.close()
	child := supervisors[p.ancestor(func(pid int) bool { return supervisors[pid] != nil })]
	if child == nil || !child.supervisor.isAlive() { // its number may be another's by now
		return nil
	}
	return child
}
