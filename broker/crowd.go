package broker

import "sync"

// crowd is the exchanges that go on.
type crowd struct {
	lock sync.Mutex
	all  map[*exchange]struct{}
	gone chan struct{} // closed when none is left, if somebody waits for that
}

func (c *crowd) enter(x *exchange) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.all == nil {
		c.all = make(map[*exchange]struct{})
	}
	c.all[x] = struct{}{}
}

func (c *crowd) leave(x *exchange) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if delete(c.all, x); len(c.all) == 0 && c.gone != nil {
		close(c.gone)
		c.gone = nil
	}
}

func (c *crowd) size() int {
	c.lock.Lock()
	defer c.lock.Unlock()
	return len(c.all)
}

// which returns those for which this holds.
func (c *crowd) which(holds func(*exchange) bool) (some []*exchange) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for x := range c.all {
		if holds(x) {
			some = append(some, x)
		}
	}
	return some
}

// wait waits until none is left.
func (c *crowd) wait() {
	c.lock.Lock()
	if len(c.all) == 0 {
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
