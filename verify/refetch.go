package verify

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"
)

// remoteFetching is what run keeps.
type remoteFetching struct {
	limiter *rate.Limiter
	backoff *backoff.ExponentialBackOff
	due     *time.Timer // the next fetch
	dueAt   time.Time
	notYet  time.Time // there is to be no fetch before

	last  *fetched      // the last answer with keys, or nil
	turns *time.Timer   // when they are no longer fresh, and then when they serve no more
	stale bool          // whether they are no longer fresh
	asked chan struct{} // nil while a fetch is under way, or has been asked for
}

// run fetches keys until ctx ends.
func (s *RemoteKeySet) run(ctx context.Context) {
	defer close(s.events)
	defer s.client.close()
	f := &remoteFetching{
		limiter: rate.NewLimiter(rate.Every(remoteEvery), remoteBurst), backoff: backoff.NewExponentialBackOff(),
		due: time.NewTimer(0), dueAt: time.Now(), turns: time.NewTimer(0),
	}
	defer f.due.Stop()
	defer f.turns.Stop()
	<-f.turns.C // it is set when there are keys
	var answers chan *fetched
	var wanted map[string]struct{}
	for {
		select {
		case <-ctx.Done():
			s.publish(&remoteState{failure: errRemoteClosed})
			if answers != nil {
				<-answers
			}
			return
		case <-f.asked:
			if s.anyWanted() {
				f.asked = nil // until the fetch that is due by then
				f.sooner()
			}
		case <-f.due.C:
			f.asked = nil
			wanted = s.takeWanted()
			answers = make(chan *fetched, 1)
			go func(answers chan<- *fetched, last *fetched) { answers <- s.client.fetch(ctx, last) }(answers, f.last)
		case answer := <-answers:
			answers = nil
			f.asked = s.asked
			if ctx.Err() == nil {
				s.settle(f, answer, wanted)
			}
		case <-f.turns.C:
			s.turn(f)
		}
	}
}

// sooner has the next fetch happen as soon as it may, unless it is due by then already, which
// costs the bucket nothing.
func (f *remoteFetching) sooner() {
	now := time.Now()
	reservation := f.limiter.ReserveN(now, 1)
	at := now.Add(reservation.DelayFrom(now))
	if at.Before(f.notYet) {
		at = f.notYet
	}
	if !at.Before(f.dueAt) {
		reservation.CancelAt(now)
		return
	}
	f.schedule(at)
}

func (f *remoteFetching) schedule(at time.Time) {
	f.dueAt = at
	f.due.Reset(time.Until(at))
}

// publish has this be what is known.
func (s *RemoteKeySet) publish(state *remoteState) {
	state.next = make(chan struct{})
	close(s.state.Swap(state).next)
}

// settle makes what an answer says known.
func (s *RemoteKeySet) settle(f *remoteFetching, answer *fetched, wanted map[string]struct{}) {
	old := s.state.Load()
	now := time.Now()
	if answer.err != nil {
		if f.last != nil {
			f.last.etag = "" // the question may be what is wrong
		}
		again := f.backoff.NextBackOff()
		f.notYet = now.Add(max(answer.retryAfter, min(again, remoteRest)))
		f.schedule(now.Add(max(answer.retryAfter, again)))
		s.publish(&remoteState{keys: old.keys, have: old.have, failure: answer.err, begun: old.begun})
		s.event(KeyEvent{Kind: FetchFailed, Err: answer.err})
		return
	}
	changed := true
	switch {
	case answer.notModified:
		changed = false
		answer.keys, answer.ignored = f.last.keys, f.last.ignored
	case f.last != nil:
		answer.keys = answer.keys.adopt(f.last.keys)
		changed = !slices.Equal(answer.keys.list, f.last.keys.list)
	}
	var said []string
	if f.last != nil {
		said = f.last.ignored
	}
	fresh := min(max(answer.fresh, remoteMinFresh), remoteMaxFresh)
	f.last = answer
	f.backoff.Reset()
	f.stale = false
	f.notYet = time.Time{}
	f.turns.Reset(fresh)
	// Not all services at once, and well before.
	f.schedule(now.Add(fresh*3/4 + rand.N(fresh/8)))
	n, one := s.remember(wanted, answer)
	s.publish(&remoteState{keys: answer.keys, have: true, begun: answer.begun})

	s.event(KeyEvent{Kind: KeysFetched, Count: len(answer.keys.list), Changed: changed})
	for _, message := range newIn(answer.ignored, said) {
		s.event(KeyEvent{Kind: KeyIgnored, Message: message})
	}
	if n > 0 {
		s.event(KeyEvent{Kind: UnknownKeyID, KeyID: one, Count: n})
	}
}

// turn says that keys are no longer fresh, or have them serve no more.
func (s *RemoteKeySet) turn(f *remoteFetching) {
	failure := s.state.Load().failure
	if failure == nil {
		failure = errRemoteStale // a fetch is under way, and has not failed yet
	}
	if !f.stale && s.maxStale > 0 {
		f.stale = true
		f.turns.Reset(s.maxStale)
		s.event(KeyEvent{Kind: ServingStale, Err: failure})
		return
	}
	s.publish(&remoteState{failure: failure})
	s.event(KeyEvent{Kind: KeysDropped, Err: failure})
}

func (s *RemoteKeySet) event(e KeyEvent) {
	e.URL = s.client.url.Redacted()
	select {
	case s.events <- e:
	default: // nobody waits for who is told
	}
}
