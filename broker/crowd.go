package broker

import "sync"

// crowd is the exchanges that go on: a ring of which it is the first link.
type crowd struct {
	lock  sync.Mutex
	first link
	n     int
	gone  chan struct{} // closed when none is left, if somebody waits for that
}

// link is an exchange's place in it.
type link struct {
	x            *exchange
	before, next *link
}

func (c *crowd) enter(x *exchange) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.first.next == nil {
		c.first.before, c.first.next = &c.first, &c.first
	}
	l := &x.link
	l.x, l.before, l.next = x, c.first.before, &c.first
	l.before.next, l.next.before = l, l
	c.n++
}

func (c *crowd) leave(x *exchange) {
	c.lock.Lock()
	defer c.lock.Unlock()
	l := &x.link
	l.before.next, l.next.before = l.next, l.before
	l.before, l.next = nil, nil
	if c.n--; c.n == 0 && c.gone != nil {
		close(c.gone)
		c.gone = nil
	}
}

func (c *crowd) size() int {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.n
}

// which returns those for which this holds.
func (c *crowd) which(holds func(*exchange) bool) (some []*exchange) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for l := c.first.next; l != nil && l != &c.first; l = l.next {
		if holds(l.x) {
			some = append(some, l.x)
		}
	}
	return some
}

// wait waits until none is left.
func (c *crowd) wait() {
	c.lock.Lock()
	if c.n == 0 {
		c.lock.Unlock()
		return
	}
	if c.gone == nil {
		c.gone = make(chan struct{})
	}
	gone := c.gone
	c.lock.Unlock()
	<-gone
}
