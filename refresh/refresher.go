package refresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/ingressauth/ingressauth"
)

// Config is what a [Refresher] is made of.
type Config struct {
	// Source has the tokens: a [Command], an [Endpoint], a [File], or any other, of whose
	// tokens it is known when they end only where they say so themselves. Each time that a
	// token is due it is asked for one; if it is an [ingressauth.Renewer], it is told of a
	// token that a server refused. One call at a time is made, which has a minute, and whose
	// context ends when the Refresher is closed. It is required.
	Source ingressauth.Source

	// Interval is how old a token gets before it is renewed, if its own end does not have it
	// renewed sooner: by up to a fifth of that less, at random. 0 means that a token of
	// which nobody says when it ends is renewed only when [Refresher.Renew] asks for another,
	// and of a [File] a second. What is above 0 is 10 milliseconds at least.
	Interval time.Duration

	// Log is told what happens, and no token: at the level debug of a new token, info when
	// the source works again, warn of each failure while there is still a token, error of
	// each while there is none, and when that begins. Its handler must not close the
	// Refresher, which waits for it. Nil means that nothing is logged.
	Log *slog.Logger

	// Now is the wall clock. Nil means [time.Now]. Time is measured by the monotonic clock
	// besides, whatever this says.
	Now func() time.Time
}

const (
	// floorTime is how far apart two attempts are at least, unless the interval is less.
	floorTime = time.Second
	// shortestInterval keeps a slip, of a unit say, from being a flood.
	shortestInterval = 10 * time.Millisecond
	// attemptTime bounds an attempt.
	attemptTime = time.Minute
	// watchTime is how often the clocks are looked at for whoever watches: timers stand
	// still while a machine is suspended.
	watchTime = 5 * time.Second
	// longestBackoff is the longest time between two attempts of which the first failed, a
	// fifth aside where the source asks for that.
	longestBackoff = time.Minute
	// revokeTime bounds what Close does at the source.
	revokeTime = 10 * time.Second
	// maxLive is how many tokens are revoked in the end, the newest and those before.
	maxLive = 8 + 1
)

// Refresher is a [ingressauth.Renewer] whose token is renewed before it ends. It is made by
// [New], may be used concurrently, and is ended by [Refresher.Close]. While nothing is due it
// has no goroutine.
type Refresher struct {
	source   ingressauth.Source
	interval time.Duration
	floor    time.Duration // between two attempts, at least
	longest  time.Duration // between two of which the first failed, at most
	polled   bool          // the source costs little, and is asked often
	log      *slog.Logger
	now      func() time.Time // nil means time.Now

	ctx     context.Context // of all attempts
	cancel  context.CancelFunc
	flights sync.WaitGroup // attempts, and what is logged after them
	closing sync.Once
	failed  error // what Close returns

	state   atomic.Pointer[state]
	flight  atomic.Pointer[flight] // the attempt under way, or nil; written under the lock
	watched atomic.Bool            // somebody waits for another state

	lock    sync.Mutex // for what follows, and for changes of the state
	timer   *time.Timer
	backoff *backoff.ExponentialBackOff
	began   time.Time // when the source was last asked
	lapsed  bool      // it was said that the token has ended
	live    []former  // besides the newest, what was issued and may be good
	closed  bool
}

// former is a token that was replaced, or not taken, and may be good still.
type former struct {
	token ingressauth.Token
	ends  instant
}

// State is what a [Refresher] knows. There is no token's text in it.
type State struct {
	// Generation counts tokens, from 1. It is 0 before the first.
	Generation uint64
	// Token is the newest one, which may have ended by now.
	Token ingressauth.Token
	// Received is when it was got from the source.
	Received time.Time
	// Expires is when it ends, as it says itself or the source says. It is zero where
	// neither does.
	Expires time.Time
	// Next is when the source will be asked again. It is zero where that is left to Renew.
	Next time.Time
	// Failures is how many attempts have failed since the last that did not, and Err why
	// the last one did. It is nil if none has.
	Failures int
	Err      error
}

// state is a State and what else is to be known. It does not change.
type state struct {
	State
	got     time.Time     // when Token came first, by the monotonic clock
	said    instant       // when it ends, as the source says
	ends    instant       // when it ends: then, or as it says itself
	due     instant       // when the source is asked again
	until   time.Time     // until when there is nothing to do, by the monotonic clock; zero is not known
	nanos   int64         // and by the wall clock
	refused bool          // by a server: the source is told of it, until it has another
	told    bool          // it was
	session session       // of this token, or of the last that named one
	next    chan struct{} // closed when this is no longer what is known
}

// errClosed is what a closed Refresher has in place of a token.
var errClosed = errors.New("the refresher of session tokens is closed")

// New returns a Refresher and has it ask the source for the first time. It does not wait for
// that. It returns an error if the configuration makes no sense. The caller closes it.
func New(c Config) (*Refresher, error) {
	if c.Source == nil {
		return nil, errors.New("refresh: no Source")
	}
	if s, ok := c.Source.(checked); ok {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("refresh: %w", err)
		}
	}
	if c.Interval < 0 || c.Interval > 0 && c.Interval < shortestInterval {
		return nil, fmt.Errorf("refresh: an Interval of less than %v", shortestInterval)
	}
	r := &Refresher{source: c.Source, interval: c.Interval, floor: floorTime, longest: longestBackoff, log: c.Log, now: c.Now}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if s, ok := c.Source.(polled); ok {
		r.polled, r.longest = true, s.every()
		r.interval = cmp.Or(c.Interval, r.longest)
	}
	if r.interval > 0 {
		r.floor = min(r.floor, r.interval/5*4)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.backoff = backoff.NewExponentialBackOff()
	r.backoff.InitialInterval, r.backoff.MaxInterval = r.floor, r.longest
	r.backoff.Reset()
	r.state.Store(&state{next: make(chan struct{})})
	r.timer = time.AfterFunc(time.Hour, r.tick)
	r.lock.Lock()
	defer r.lock.Unlock()
	r.timer.Stop()
	r.begin(ingressauth.Token{})
	return r, nil
}

// Token returns the newest token; [ingressauth.Source]. It waits, as long as the context
// lasts, only where there is none that is good and an attempt to get one is under way. Where
// the last attempt failed it returns why at once, until the next one is due. It never returns
// a token that has ended by the wall clock, or by the time that has passed since it came.
func (r *Refresher) Token(ctx context.Context) (ingressauth.Token, error) {
	s := r.state.Load()
	if r.now == nil && s.fresh() {
		return s.Token, nil
	}
	now := r.clock()
	if !s.good(now) {
		return r.another(ctx, ingressauth.Token{})
	}
	if s.due.reached(now) && r.flight.Load() == nil {
		r.tick() // the timer is late
	}
	return s.Token, nil
}

// Renew says that a server refused this token, and returns another one;
// [ingressauth.Renewer]. If there is another by now, it is that. Else the source is asked, once
// for all who call meanwhile, and told of the refusal. If it has none but the refused one, the
// error wraps [ingressauth.ErrNoToken], and the refused one remains what Token returns, as
// other servers may take it. The source is asked once a second at most (or in four fifths of the
// interval, if that is less), for which Renew waits. When it was told of a refusal in vain, Renew
// returns why until the next attempt is due, unless it is a [File]; of each the source is told
// until it has another.
func (r *Refresher) Renew(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	return r.another(ctx, refused)
}

// another returns a good token that is not the refused one, which may be zero.
func (r *Refresher) another(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	for {
		r.lock.Lock()
		s, now := r.state.Load(), r.clock()
		if s.has(now, refused) {
			r.lock.Unlock()
			return s.Token, nil
		}
		f := r.flight.Load()
		news := false // for the source
		if !r.closed && !refused.IsZero() && sameText(s.Token, refused) {
			marked := *s
			marked.refused = true
			r.state.Store(&marked) // nobody who watches sees a difference
			s, news = &marked, !s.told || r.polled
		}
		if e, ok := errors.AsType[resting](s.Err); ok && e.rest() > 0 {
			news = false // the source wants to be left alone, whatever there is to tell
		}
		if r.closed || f == nil && s.Err != nil && !s.due.reached(now) && !news {
			r.lock.Unlock()
			return ingressauth.Token{}, s.failure(now)
		}
		if f == nil {
			f = r.begin(refused)
		}
		told := f.tell(refused)
		r.lock.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return ingressauth.Token{}, fmt.Errorf("renew session token: %w", ctx.Err())
		}
		s, now = r.state.Load(), r.clock()
		switch {
		case s.has(now, refused):
			return s.Token, nil
		case told && s.Err != nil:
			return ingressauth.Token{}, s.failure(now)
		}
		// The source was not told yet, or what it had has ended just now.
	}
}

// State returns what is known, and a channel that is closed when that is no longer so: after a
// new token, and after a failure. Whoever asks again then gets what is known by that time, and
// so skips what came between. Expiry changes nothing of it. From the first call on, the clocks
// are looked at every five seconds.
func (r *Refresher) State() (State, <-chan struct{}) {
	if !r.watched.Load() {
		r.lock.Lock()
		r.watched.Store(true)
		r.arm()
		r.lock.Unlock()
	}
	s := r.state.Load()
	return s.State, s.next
}

// Close ends the Refresher, and waits for an attempt that is under way, which it cancels. From
// then on there is an error in place of a token, as State says, too. If the source has a method
// Revoke(context.Context, ingressauth.Token) error, as an [Endpoint] has, it revokes the newest
// token, and up to eight before it that have not ended, all at once, within ten seconds. The error
// is of that; one that is [errors.ErrUnsupported] is none. Called again it returns the same.
func (r *Refresher) Close() error {
	r.closing.Do(func() {
		r.lock.Lock()
		r.closed = true
		r.timer.Stop()
		old := r.state.Load()
		if !old.Token.IsZero() {
			r.remember(old.Token, old.ends, r.clock())
		}
		r.publish(&state{State: State{Generation: old.Generation, Err: errClosed}})
		r.lock.Unlock()
		r.cancel()
		r.flights.Wait()
		r.failed = r.revoke()
	})
	return r.failed
}

// revoke revokes what is good still.
func (r *Refresher) revoke() error {
	revoker, ok := r.source.(interface {
		Revoke(context.Context, ingressauth.Token) error
	})
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), revokeTime)
	defer cancel()
	failed := make([]error, len(r.live))
	var wait sync.WaitGroup
	for i, f := range r.live {
		if f.ends.reached(r.clock()) {
			continue
		}
		wait.Go(func() {
			if err := revoker.Revoke(ctx, f.token); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				failed[i] = fmt.Errorf("revoke session token %v: %w", f.token, err)
			}
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

// publish makes s what is known. It needs the lock.
func (r *Refresher) publish(s *state) {
	s.next = make(chan struct{})
	if until := earlier(s.ends, s.due); until.known() && !s.Token.IsZero() {
		s.until, s.nanos = until.monotonic, until.wall.UnixNano()
	}
	close(r.state.Swap(s).next)
}

// fresh reports whether there is a token, and nothing to do by either clock, as far as that is
// quickly told.
func (s *state) fresh() bool {
	now := time.Now()
	return now.Before(s.until) && now.UnixNano() < s.nanos
}

// good reports whether there is a token that has not ended.
func (s *state) good(now clock) bool { return !s.Token.IsZero() && !s.ends.reached(now) }

// has reports whether there is a good token that is not the refused one.
func (s *state) has(now clock, refused ingressauth.Token) bool {
	return s.good(now) && (refused.IsZero() || !sameText(s.Token, refused))
}

// failure says why there is no token, where an attempt has failed.
func (s *state) failure(now clock) error {
	why := s.Err
	switch {
	case why == errClosed:
		return why
	case s.Token.IsZero():
		return fmt.Errorf("get session token: %w", why)
	case s.good(now):
		return fmt.Errorf("renew refused session token: %w", why)
	case errors.Is(why, ingressauth.ErrNoToken): // there was one: no other source's may take its place
		why = errors.New(why.Error())
	}
	return fmt.Errorf("the session token expired at %s and could not be renewed: %w", s.Expires.UTC().Format(time.RFC3339), why)
}
