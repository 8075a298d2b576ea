package refresh

import "time"

// clock is what both clocks say. The monotonic one stands still while the machine is
// suspended; the other one may be set, forwards or back.
type clock struct {
	monotonic time.Time
	wall      time.Time // without a monotonic reading
}

// now is what they say.
func now() clock {
	t := time.Now()
	return clock{t, t.Round(0)}
}

func (r *Refresher) clock() clock {
	c := now()
	if r.now != nil {
		c.wall = r.now().Round(0)
	}
	return c
}

// in returns the instant that is this far away.
func (c clock) in(d time.Duration) instant {
	return instant{c.monotonic.Add(d), c.wall.Add(d)}
}

// instant is a point in time by both clocks. The zero instant is none.
type instant clock

func (i instant) known() bool { return !i.wall.IsZero() }

// reached reports whether either clock has come there.
func (i instant) reached(now clock) bool {
	return i.known() && (!now.monotonic.Before(i.monotonic) || !now.wall.Before(i.wall))
}

// earlier returns when either of two instants has been reached.
func earlier(a, b instant) instant {
	switch {
	case !a.known():
		return b
	case !b.known():
		return a
	}
	if b.monotonic.Before(a.monotonic) {
		a.monotonic = b.monotonic
	}
	if b.wall.Before(a.wall) {
		a.wall = b.wall
	}
	return a
}

// until returns how far away it is by the monotonic clock, or, where less, by the other.
func (i instant) until(now clock) time.Duration {
	return min(i.monotonic.Sub(now.monotonic), i.wall.Sub(now.wall))
}
