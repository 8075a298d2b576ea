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
	headTime time.Time     // until when a head that was begun must be whole; zero if none was
	reading  bool          // the connection is read
	applied  time.Time     // the connection's own deadline
	changed  chan struct{} // of one place; told of another deadline while nothing is read
	timer    *time.Timer
}

const (
	// headTime bounds how long a head may take.
	headTime = 10 * time.Second
	// patientTime is how long it takes at most to notice that a client has gone, beside what the
	// kernel takes.
	patientTime = 20 * time.Millisecond
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
	select {
	case g.changed <- struct{}{}:
	default:
	}
	return nil
}

// setHeadTime begins, or ends, the time that a head may take. The server's own bound begins
// only when it gets the first bytes, which are the whole head.
func (g *gate) setHeadTime(begin bool) {
	g.lock.Lock()
	defer g.lock.Unlock()
	if begin != g.headTime.IsZero() {
		return
	}
	g.headTime = time.Time{}
	if begin {
		g.headTime = time.Now().Add(headTime)
	}
}

// apply has the connection have the earlier of the two deadlines, or one that is as good. The lock
// is held.
func (g *gate) apply() error {
	t := g.deadline
	if !g.headTime.IsZero() && (t.IsZero() || g.headTime.Before(t)) {
		t = g.headTime
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
	g.reading = true
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
	for waited := false; ; {
		g.lock.Lock()
		serving, over := g.deadline.IsZero(), !g.deadline.IsZero() && !g.deadline.After(time.Now())
		g.lock.Unlock()
		switch {
		case over:
			return os.ErrDeadlineExceeded
		case !serving || waited:
			return nil
		}
		if g.timer == nil {
			g.timer = time.NewTimer(patientTime)
		} else {
			g.timer.Reset(patientTime)
		}
		select {
		case <-g.changed:
			g.timer.Stop()
		case <-g.timer.C:
			waited = true
		}
	}
}
