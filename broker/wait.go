package broker

import (
	"os"
	"sync"
	"time"
)

// waits are how long a gate waits for its client. The server sets a deadline several times for
// each request, and while a handler is at work it reads on, to learn whether the client has gone.
// Here nothing of that costs a system call where the handler is done soon, as most are.
type waits struct {
	lock     sync.Mutex
	deadline time.Time     // the server's
	headEnd  time.Time     // until when a head that was begun must be whole; zero if none was
	reading  bool          // the connection is read
	inBody   bool          // for a body
	applied  time.Time     // the connection's own deadline
	changed  chan struct{} // of one place; told of another deadline while nothing is read
	timer    *time.Timer
	armed    bool // it will tick
	turn     int  // of waiting
	ticked   int  // the turn of the last tick
	waited   bool // this turn has gone on for long
	closed   bool // nobody waits any more
}

const (
	// headTime bounds how long a head may take.
	headTime = 10 * time.Second
	// tickTime is half of how long it takes at most to begin to notice that a client has gone.
	tickTime = 10 * time.Millisecond
	// slackTime is how much sooner than it was set a deadline may come.
	slackTime = 5 * time.Second
)

// SetReadDeadline is the server's; [net.Conn].
func (g *gate) SetReadDeadline(t time.Time) error {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.deadline = t
	if g.reading {
		return g.apply()
	}
	g.wake()
	return nil
}

// setHeadTime begins, or ends, the time that a head may take. The server's own bound begins
// only when it gets the first bytes, which are the whole head.
func (g *gate) setHeadTime(begin bool) {
	g.lock.Lock()
	defer g.lock.Unlock()
	if begin != g.headEnd.IsZero() {
		return
	}
	g.headEnd = time.Time{}
	if begin {
		g.headEnd = time.Now().Add(headTime)
	}
}

// apply has the connection have the earlier of the two deadlines, or one that is as good. The lock
// is held.
func (g *gate) apply() error {
	t := g.deadline
	switch {
	case t.IsZero() && g.inBody:
		t = time.Now().Add(stallTime)
	case !t.IsZero() && !g.headEnd.IsZero() && g.headEnd.Before(t): // not while the server serves
		t = g.headEnd
	}
	if t.Equal(g.applied) || !t.IsZero() && !g.applied.IsZero() && t.After(g.applied) && t.Sub(g.applied) < slackTime && time.Until(g.applied) > slackTime {
		return nil
	}
	g.applied = t
	return g.Conn.SetReadDeadline(t)
}

// read reads the connection.
func (g *gate) read(p []byte) (int, error) {
	g.lock.Lock()
	g.reading, g.inBody = true, g.next != raw && (g.free > 0 || g.next != inHead)
	err := g.apply()
	g.lock.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := g.Conn.Read(p)
	g.lock.Lock()
	g.reading = false
	g.lock.Unlock()
	return n, err
}

// idle waits, between two requests, for a while in which most handlers are done, or until there is
// a deadline for the next request. Without one, the server is serving.
func (g *gate) idle() error {
	g.lock.Lock()
	g.turn++
	g.waited = false
	switch {
	case g.closed, g.armed:
	case g.timer == nil:
		g.timer, g.armed = time.AfterFunc(tickTime, g.tick), true
	default:
		g.timer.Reset(tickTime)
		g.armed = true
	}
	for {
		serving, over := g.deadline.IsZero(), !g.deadline.IsZero() && !g.deadline.After(time.Now())
		waited := g.waited || g.closed
		g.lock.Unlock()
		switch {
		case over:
			return os.ErrDeadlineExceeded
		case !serving || waited:
			return nil
		}
		<-g.changed
		g.lock.Lock()
	}
}

// wakeUp ends all waiting, as the connection is closed.
func (g *gate) wakeUp() {
	g.lock.Lock()
	defer g.lock.Unlock()
	g.closed = true
	if g.timer != nil {
		g.timer.Stop()
	}
	g.wake()
}

// tick ends a wait that has gone on for long. A timer that is stopped and started for each request
// would cost more than the rest, so it looks whether there was another one since.
func (g *gate) tick() {
	g.lock.Lock()
	defer g.lock.Unlock()
	if g.closed {
		return
	}
	if g.ticked != g.turn {
		g.ticked = g.turn
		g.timer.Reset(tickTime)
		return
	}
	g.armed, g.waited = false, true
	g.wake()
}

// wake has whoever waits look again.
func (g *gate) wake() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}
