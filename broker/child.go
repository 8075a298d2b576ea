package broker

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
)

// ChildConfig says who a child is.
type ChildConfig struct {
	// Name is what it is called in records.
	Name string

	// Scheme is how its phantom travels, and so what it looks like. "" means
	// [ingressauth.SchemeBearer].
	Scheme ingressauth.Scheme

	// Supervisor is the process that the child's processes descend from, and are left to when
	// their own parents end. What descends from it may use a Unix socket without a phantom. 0
	// means that the phantom is required everywhere.
	// No two children have the same one.
	Supervisor int

	// Expires is when the phantom ends. Zero means when the child is removed.
	Expires time.Time
}

// Child is who may use a [Broker]: a process and what it starts.
type Child struct {
	broker  *Broker
	config  ChildConfig
	phantom string
	digest  [sha256.Size]byte

	lock    sync.Mutex
	removed bool
	active  map[*exchange]struct{}
}

// Add has a child use the broker, until it is removed.
func (b *Broker) Add(c ChildConfig) (*Child, error) {
	if c.Supervisor < 0 {
		return nil, errors.New("broker: a process has no negative number")
	}
	child := &Child{broker: b, config: c, phantom: phantom.New(c.Scheme == ingressauth.SchemeSessionKey), active: make(map[*exchange]struct{})}
	child.digest = sha256.Sum256([]byte(child.phantom))
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.closed {
		return nil, errClosed
	}
	for _, other := range b.children {
		if c.Supervisor != 0 && c.Supervisor == other.config.Supervisor {
			return nil, errors.New("broker: another child has this supervisor, and could not be told from this one")
		}
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

// Remove takes the phantom back, and closes at once what the child has open: its connections,
// and those to the upstreams that serve them. It may be called more than once.
func (c *Child) Remove() {
	b := c.broker
	b.lock.Lock()
	delete(b.children, c.digest)
	b.lock.Unlock()
	c.lock.Lock()
	c.removed = true
	var open []net.Conn
	for x := range c.active {
		open = append(open, x.connections()...)
	}
	c.lock.Unlock()
	for _, o := range open {
		o.Close()
	}
}

// enter notes that a request of the child begins, and reports whether it may.
func (c *Child) enter(x *exchange) bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.removed || c.expired() {
		return false
	}
	c.active[x] = struct{}{}
	return true
}

func (c *Child) leave(x *exchange) {
	c.lock.Lock()
	defer c.lock.Unlock()
	delete(c.active, x)
}

func (c *Child) expired() bool {
	return !c.config.Expires.IsZero() && !time.Now().Before(c.config.Expires)
}

// holder returns the child that has this phantom, or nil.
func (b *Broker) holder(text string) *Child {
	digest := sha256.Sum256([]byte(text))
	b.lock.RLock()
	c := b.children[digest]
	b.lock.RUnlock()
	// How far a digest is compared by a map says nothing of the text, and this says nothing
	// of how far that is the same.
	if c == nil || subtle.ConstantTimeCompare([]byte(c.phantom), []byte(text)) != 1 {
		return nil
	}
	return c
}

// childOf returns the child in whose tree the process is that has connected, or nil.
func (b *Broker) childOf(c *net.UnixConn) *Child {
	supervisors := make(map[int]*Child)
	b.lock.RLock()
	for _, child := range b.children {
		if pid := child.config.Supervisor; pid != 0 {
			supervisors[pid] = child
		}
	}
	b.lock.RUnlock()
	if len(supervisors) == 0 {
		return nil
	}
	p, err := peerOf(c)
	if err != nil {
		return nil
	}
	defer p.close()
	return supervisors[p.ancestor(func(pid int) bool { return supervisors[pid] != nil })]
}

func (c *Child) isRemoved() bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.removed
}
