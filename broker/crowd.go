package broker

import "sync"

// crowd counts what goes on at once.
type crowd struct {
	lock sync.Mutex
	n    int
	gone chan struct{} // closed when nothing is left, if somebody waits for that
}

func (c *crowd) enter() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.n++
}

func (c *crowd) leave() {
	c.lock.Lock()
	defer c.lock.Unlock()
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

// wait waits until nothing is left.
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
