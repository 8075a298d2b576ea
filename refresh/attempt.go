package refresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/jwt"
	"github.com/ingressauth/ingressauth/internal/phantom"
)

// flight is an attempt to get a token.
type flight struct {
	done    chan struct{} // closed at the end
	asked   bool          // the source was asked, under the lock
	refused ingressauth.Token
}

// tell has the source be told of a refused token, if it can be still, and reports whether it
// is, or need not be. It needs the lock.
func (f *flight) tell(refused ingressauth.Token) bool {
	if refused.IsZero() {
		return true
	}
	if !f.asked {
		f.refused = refused
	}
	return !f.refused.IsZero() && sameText(f.refused, refused)
}

// begin begins an attempt. It needs the lock, and that none is under way.
func (r *Refresher) begin(refused ingressauth.Token) *flight {
	f := &flight{done: make(chan struct{}), refused: refused}
	if s := r.state.Load(); s.refused {
		f.refused = s.Token
	}
	r.flight.Store(f)
	r.flights.Go(func() { r.fly(f) })
	return f
}

// fly asks the source.
func (r *Refresher) fly(f *flight) {
	r.lock.Lock()
	if wait := r.floor - time.Since(r.began); !r.began.IsZero() && wait > 0 {
		r.lock.Unlock()
		sleep(r.ctx, wait)
		r.lock.Lock()
	}
	began := r.clock()
	r.began, f.asked = began.monotonic, true
	r.lock.Unlock()

	got, err := r.ask(f.refused)

	r.lock.Lock()
	notes := r.settle(f, began, got, err)
	r.flight.Store(nil)
	r.arm()
	r.lock.Unlock()
	close(f.done)
	for _, n := range notes { // a handler may need a token itself
		r.log.LogAttrs(context.Background(), n.level, n.message, n.attrs...)
	}
}

// note is what is to be logged.
type note struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

func (r *Refresher) ask(refused ingressauth.Token) (issued, error) {
	ctx, cancel := context.WithTimeoutCause(r.ctx, attemptTime, fmt.Errorf("no token within %v", attemptTime))
	defer cancel()
	if ctx.Err() != nil {
		return issued{}, ctx.Err()
	}
	var got issued
	var err error
	switch source := r.source.(type) {
	case issuer:
		got, err = source.issue(ctx, refused)
	case ingressauth.Renewer:
		if refused.IsZero() {
			got.token, err = source.Token(ctx)
		} else {
			got.token, err = source.Renew(ctx, refused)
		}
	default:
		got.token, err = source.Token(ctx)
	}
	if err == nil && got.token.IsZero() {
		err = ingressauth.ErrNoToken
	}
	return got, err
}

// Why a token that a source has returned is not taken.
var (
	errExpired = errors.New("the source returned a token that has expired, or the clock of this machine is wrong")
	errOlder   = errors.New("the source returned an older token than the last one")
	errOther   = errors.New("the source returned a token of another session (issuer, subject or organisation differ)")
)

// settle makes what the source had known. It needs the lock.
func (r *Refresher) settle(f *flight, began clock, got issued, err error) []note {
	old, now := r.state.Load(), r.clock()
	if r.closed {
		if err == nil { // it was issued, and nobody will have it
			r.remember(got.token, instant{}, now)
		}
		return nil
	}
	var s *state
	if err == nil {
		if s, err = judge(old, f.refused, began, now, got); err != nil && !sameText(got.token, old.Token) {
			r.remember(got.token, instant{}, now) // it was issued, and nobody has it
		}
	}
	if err != nil {
		return r.fail(old, now, f.refused, err)
	}
	var notes []note
	if s.Generation != old.Generation {
		if !old.Token.IsZero() {
			r.remember(old.Token, old.ends, now)
		}
		notes = append(notes, note{slog.LevelDebug, "there is a new session token", append(s.attrs(), slog.Uint64("generation", s.Generation))})
	}
	if old.Err != nil {
		notes = append(notes, note{slog.LevelInfo, "the source of session tokens works again", []slog.Attr{slog.Int("failures", old.Failures)}})
	}
	s.due = r.dueAfter(now, s.ends)
	s.Next = s.due.wall
	r.backoff.Reset()
	r.lapsed = false
	r.publish(s)
	return notes
}

// judge returns what is known if this token takes the place of old's, or why it does not.
func judge(old *state, refused ingressauth.Token, began, now clock, got issued) (*state, error) {
	claims, _ := jwt.Peek(got.token.Reveal())
	s := &state{
		State:   State{Generation: old.Generation, Token: got.token, Received: now.wall},
		got:     now.monotonic,
		session: sessionOf(got.token, claims),
	}
	if got.life > 0 {
		s.said = began.in(got.life)
	}
	same := sameText(old.Token, got.token)
	if same {
		s.Received, s.got, s.refused = old.Received, old.got, old.refused
		if got.life == 0 { // what the source said of it holds
			s.said = old.said
		}
	}
	if got.token != old.Token {
		s.Generation++
	}
	s.ends = s.said
	if expiry, ok := claims.Expiry.Time(); ok {
		left := expiry.Sub(now.wall)
		if issuedAt, ok := claims.IssuedAt.Time(); ok { // if the wall clock is slow, that is less
			left = min(left, expiry.Sub(issuedAt)-now.monotonic.Sub(s.got))
		}
		s.ends = earlier(s.ends, instant{now.monotonic.Add(left), expiry})
	}
	s.Expires = s.ends.wall
	before, _ := jwt.Peek(old.Token.Reveal())
	switch {
	case !refused.IsZero() && sameText(refused, got.token):
		return nil, errRefused
	case phantom.Is(got.token.Reveal()):
		return nil, phantom.ErrFound
	case s.session.isOther(old.session):
		return nil, errOther
	case s.ends.reached(now):
		return nil, errExpired
	case !same && old.good(now) && !old.refused && isOlder(before, claims):
		return nil, errOlder
	}
	s.session = s.session.after(old.session)
	return s, nil
}

// session is what a token says of whose it is.
type session struct{ issuer, subject, organization string }

func sessionOf(t ingressauth.Token, claims jwt.Claims) session {
	s := session{organization: t.Organization()}
	if claims.Issuer != "" && claims.Subject != "" {
		s.issuer, s.subject = claims.Issuer, claims.Subject
	}
	return s
}

func peekSession(t ingressauth.Token) session {
	claims, _ := jwt.Peek(t.Reveal())
	return sessionOf(t, claims)
}

// after returns what is known of a session that a token before named as old.
func (s session) after(old session) session {
	if s.issuer == "" {
		s.issuer, s.subject = old.issuer, old.subject
	}
	s.organization = cmp.Or(s.organization, old.organization)
	return s
}

// isOther reports whether two tokens are of different sessions, as far as they say.
func (s session) isOther(old session) bool {
	if s.issuer != "" && old.issuer != "" && (s.issuer != old.issuer || s.subject != old.subject) {
		return true
	}
	return s.organization != "" && old.organization != "" && s.organization != old.organization
}

// isOlder reports whether claims are of a token that was issued before another, or, where they
// do not say when they were, ends before it.
func isOlder(than, claims jwt.Claims) bool {
	a, ok := than.IssuedAt.Time()
	b, ok2 := claims.IssuedAt.Time()
	if !ok || !ok2 || a.Equal(b) {
		a, ok = than.Expiry.Time()
		b, ok2 = claims.Expiry.Time()
	}
	return ok && ok2 && b.Before(a)
}

// fail makes known that an attempt failed. It needs the lock.
func (r *Refresher) fail(old *state, now clock, refused ingressauth.Token, err error) []note {
	s := *old
	s.Failures++
	s.Err = err
	s.told = s.told || s.refused && sameText(refused, old.Token)
	// The nearer the end, the more often: but no more than once in the floor.
	most := r.longest
	if old.good(now) && old.ends.known() {
		most = min(most, old.ends.until(now)/4)
	}
	wait := min(r.backoff.NextBackOff(), most)
	if rests, ok := errors.AsType[resting](err); ok {
		wait = max(wait, rests.rest()+spread(rests.rest()/5))
	}
	s.due = now.in(max(wait, r.floor))
	s.Next = s.due.wall
	r.publish(&s)
	again := r.polled && old.Err != nil && old.Err.Error() == err.Error() // it was said a second ago
	switch {
	case old.good(now) && again, r.lapsed && again:
		return nil
	case old.good(now):
		return []note{{slog.LevelWarn, "the session token was not renewed, and serves on", s.attrs()}}
	}
	return []note{r.lapse(&s)}
}

// lapse notes that there is no good token any more. It needs the lock.
func (r *Refresher) lapse(s *state) note {
	r.lapsed = true
	message := "there is no session token: it could not be got"
	if !s.Token.IsZero() {
		message = "there is no session token any more: it has expired, and could not be renewed"
	}
	return note{slog.LevelError, message, s.attrs()}
}

// attrs are what there is to say of a state.
func (s *state) attrs() (attrs []slog.Attr) {
	if s.Err != nil {
		attrs = append(attrs, slog.Any("error", s.Err), slog.Int("failures", s.Failures))
	}
	if !s.Token.IsZero() {
		attrs = append(attrs, slog.Any("token", s.Token))
	}
	for _, at := range []struct {
		name string
		time time.Time
	}{{"next", s.Next}, {"expires", s.Expires}} {
		if !at.time.IsZero() {
			attrs = append(attrs, slog.Time(at.name, at.time))
		}
	}
	return attrs
}

// remember has a token be revoked in the end, if it has not ended by then. Of those that there
// are too many the first are forgotten. It needs the lock.
func (r *Refresher) remember(t ingressauth.Token, ends instant, now clock) {
	r.live = slices.DeleteFunc(r.live, func(f former) bool { return f.ends.reached(now) || sameText(f.token, t) })
	r.live = append(r.live, former{t, ends})
	if n := len(r.live) - maxLive; n > 0 {
		r.live = slices.Delete(r.live, 0, n)
	}
}

// dueAfter returns when the next token is due: when three to four fifths of what is left of
// the life of this one have passed, or the interval.
func (r *Refresher) dueAfter(now clock, ends instant) (due instant) {
	if ends.known() {
		left := ends.until(now)
		due = now.in(max(left/5*3+spread(left/5), r.floor))
	}
	if r.interval > 0 {
		due = earlier(due, now.in(r.interval/5*4+spread(r.interval/5)))
	}
	return due
}

// spread returns a random part of d, so that not all who began together ask together.
func spread(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// tick does what is due.
func (r *Refresher) tick() {
	r.lock.Lock()
	s, now := r.state.Load(), r.clock()
	if r.closed {
		r.lock.Unlock()
		return
	}
	if r.flight.Load() == nil && s.due.reached(now) {
		r.begin(ingressauth.Token{})
	}
	var notes []note
	if !r.lapsed && s.Err != nil && s.ends.reached(now) {
		notes = append(notes, r.lapse(s))
	}
	r.arm()
	r.flights.Add(1) // Close waits until all is logged
	r.lock.Unlock()
	defer r.flights.Done()
	for _, n := range notes {
		r.log.LogAttrs(context.Background(), n.level, n.message, n.attrs...)
	}
}

// arm sets the timer. It needs the lock.
func (r *Refresher) arm() {
	s, now := r.state.Load(), r.clock()
	var at instant
	if r.flight.Load() == nil {
		at = s.due
	}
	if !r.lapsed && s.Err != nil {
		at = earlier(at, s.ends)
	}
	if r.watched.Load() && (s.due.known() || s.ends.known()) {
		at = earlier(at, now.in(watchTime))
	}
	if r.closed || !at.known() {
		r.timer.Stop()
		return
	}
	r.timer.Reset(max(0, at.until(now)))
}

// sleep waits, unless the context ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
