package verify

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// RemoteConfig is what a [RemoteKeySet] is made of.
type RemoteConfig struct {
	// URL is where the key set is: https, or also http on this machine (localhost and
	// loopback addresses). It is required.
	URL string
	// Transport fetches the key set. Nil means one that takes a proxy from the
	// environment, as [http.ProxyFromEnvironment] says, and is closed with the key set.
	Transport http.RoundTripper
	// MaxStale is for how long keys serve after they should have been replaced, while
	// no others can be had. 0 means an hour, a negative one not at all; a day is the
	// most.
	MaxStale time.Duration
	// OnEvent is told what happens, for logs and metrics: one event at a time, in
	// order. Nothing but Close waits for it, so it must not close the key set; where
	// it is 64 events behind, more are lost. Nil means that what needs attention is
	// logged with [slog.Default].
	OnEvent func(KeyEvent)
}

// Bounds on when keys are fetched, and on who waits for that.
const (
	// remoteMinFresh and remoteMaxFresh bound for how long keys are fresh, whatever
	// the issuer says, and remoteFresh is for how long if it says nothing.
	remoteMinFresh = time.Minute
	remoteMaxFresh = time.Hour
	remoteFresh    = 5 * time.Minute

	defaultMaxStale = time.Hour
	maxMaxStale     = 24 * time.Hour

	// remoteEvery is how often keys are fetched for ids that are not known, after
	// the first remoteBurst times, and so what a flood of made-up ids costs the
	// issuer at most, and delays a new key.
	remoteEvery = 3 * time.Second
	remoteBurst = 5
	// remoteRest is for how long a failure stops all fetching, if not for less.
	remoteRest = 5 * time.Second
	// remoteForget is how long an id that was not there is not asked for again.
	remoteForget = 5 * time.Second
	// remoteLongestID is the length of the longest id that keys are fetched for, in bytes.
	remoteLongestID = 1 << 10
	// remoteUnknown is how many such ids are known, and how many are asked for at once.
	remoteUnknown = 1024
	// remoteWaiters is how many callers wait at once, and remoteWait how long one does,
	// which is longer than it takes to finish one fetch and make another.
	remoteWaiters = 1024
	remoteWait    = 2*fetchTimeout + remoteEvery
	// remoteEvents is how many events wait to be told.
	remoteEvents = 64
)

// RemoteKeySet is the keys that are published at a URL. It is made by
// [NewRemoteKeySet], and may be used concurrently. [RemoteKeySet.Close] ends it.
//
// Keys are fetched at once, and then in the background before they are no longer fresh,
// as Cache-Control, Age and Expires say (RFC 9111, section 4.2), but for a minute at least
// and an hour at most; five minutes where nothing says. If that fails, it is tried again,
// ever more rarely, and within seconds if a token lacks a key; an issuer's Retry-After is
// heeded, up to a minute. The last keys serve for [RemoteConfig.MaxStale] more. From then on
// all tokens are refused ([KeysUnavailable]). Before there are any, tokens wait for the first
// fetch, and are refused while it fails.
//
// A token with an unknown "kid" waits while the keys are fetched for it, if that was not
// done for the same id in the last five seconds: for all such tokens together at once, and
// every three seconds when that has happened five times. So whoever makes ids up costs the
// issuer a request in three seconds, and delays a new key by not much longer. While fetching
// fails, such a token does not wait, and is refused as [KeysUnavailable], since the key may
// be there; so it is if a thousand others wait. Who waits does so until the context ends, or
// for 23 seconds, if the issuer takes that long: give the context a deadline for less.
//
// An answer is read as [NewKeySet] reads a key set, up to 1 MiB of it, within ten seconds
// and after three redirects at most, from https to https alone. An answer that is no key set
// is a failure. One without any key of use is a set, too: every token is then refused.
type RemoteKeySet struct {
	client   *keyClient
	maxStale time.Duration
	events   chan KeyEvent
	state    atomic.Pointer[remoteState]
	asked    chan struct{} // somebody wants an id; it holds one
	cancel   context.CancelFunc
	done     chan struct{} // closed when nothing is to happen any more

	mu        sync.Mutex
	waiters   int
	wanted    map[string]struct{}  // ids that the next fetch is for
	wantedAny bool                 // it is for a token without an id, too
	unknown   map[uint64]time.Time // by hash, ids that were not there, and until when that is remembered
	seed      maphash.Seed
}

// remoteState is what is known between two changes. It does not change.
type remoteState struct {
	keys    keys
	have    bool          // whether there are keys, though it may be none that is of use
	failure error         // why there are no keys, or no newer ones
	begun   time.Time     // when the fetch that had keys began
	next    chan struct{} // closed when this is no longer what is known
}

var (
	errRemoteFirst  = errors.New("the key set is being fetched for the first time")
	errRemoteClosed = errors.New("the key set is closed")
	errRemoteStale  = errors.New("the keys were not replaced for too long")
	errRemoteBusy   = errors.New("too many wait for the key set to be fetched")
	errRemoteSlow   = errors.New("the key set was not fetched in time")
)

// NewRemoteKeySet returns the keys at a URL and begins to fetch them. It does not wait, so
// that a service starts while its issuer cannot be reached; tokens wait instead. It returns
// an error if the configuration makes no sense. The caller closes the key set.
func NewRemoteKeySet(c RemoteConfig) (*RemoteKeySet, error) {
	client, err := newKeyClient(c.URL, c.Transport)
	if err != nil {
		return nil, err
	}
	switch {
	case c.MaxStale > maxMaxStale:
		return nil, fmt.Errorf("MaxStale of %v is longer than %v", c.MaxStale, maxMaxStale)
	case c.MaxStale == 0:
		c.MaxStale = defaultMaxStale
	}
	if c.OnEvent == nil {
		c.OnEvent = logKeyEvent
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &RemoteKeySet{
		client: client, maxStale: max(0, c.MaxStale), events: make(chan KeyEvent, remoteEvents),
		asked: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}),
		wanted: make(map[string]struct{}), unknown: make(map[uint64]time.Time), seed: maphash.MakeSeed(),
	}
	s.state.Store(&remoteState{next: make(chan struct{})})
	go s.run(ctx)
	go func() {
		defer close(s.done)
		for e := range s.events {
			c.OnEvent(e)
		}
	}()
	return s, nil
}

// Close ends the fetching, and waits until it has, and OnEvent is told. From then on all
// tokens are refused ([KeysUnavailable]). It returns nil, also when called again.
func (s *RemoteKeySet) Close() error {
	s.cancel()
	<-s.done
	return nil
}

func (s *RemoteKeySet) key(ctx context.Context, id string, hasID bool) (*key, error) {
	state := s.state.Load()
	k, err := state.keys.key(ctx, id, hasID)
	if err == nil {
		return k, nil
	}
	return s.await(ctx, state, id, hasID)
}

// known returns what key does, but waits for nothing.
func (s *RemoteKeySet) known(ctx context.Context, id string, hasID bool) (*key, error) {
	state := s.state.Load()
	switch {
	case state.have:
		return state.keys.key(ctx, id, hasID)
	case state.failure != nil:
		return nil, state.failure
	}
	return nil, errRemoteFirst
}

// await returns a key that is not in state, if fetching brings it.
func (s *RemoteKeySet) await(ctx context.Context, state *remoteState, id string, hasID bool) (*key, error) {
	// A fetch that has begun may have an answer from before a new key was published.
	arrived := time.Now()
	var slow <-chan time.Time
	for {
		if state.failure != nil {
			s.want(id, hasID, false)
			return nil, state.failure
		}
		if state.have && (!hasID || len(id) > remoteLongestID || slow != nil && !state.begun.Before(arrived) || s.isUnknown(id)) {
			return nil, errNoKey
		}
		if slow == nil {
			if !s.want(id, hasID, true) {
				return nil, errRemoteBusy
			}
			defer s.leave()
			timer := time.NewTimer(remoteWait)
			defer timer.Stop()
			slow = timer.C
		}
		select {
		case <-state.next:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-slow:
			return nil, errRemoteSlow
		}
		state = s.state.Load()
		if k, err := state.keys.key(ctx, id, hasID); err == nil {
			return k, nil
		}
	}
}

// want has the next fetch be for this id, if there is one. A caller that waits for it is
// counted until it leaves. want reports false if there are too many ids or callers.
func (s *RemoteKeySet) want(id string, hasID, waits bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.wanted[id]; hasID && !ok && len(id) <= remoteLongestID {
		if len(s.wanted) == remoteUnknown {
			return false
		}
		s.wanted[strings.Clone(id)] = struct{}{} // it is part of a token
	}
	s.wantedAny = s.wantedAny || !hasID
	if waits {
		if s.waiters == remoteWaiters {
			return false
		}
		s.waiters++
	}
	select {
	case s.asked <- struct{}{}:
	default:
	}
	return true
}

func (s *RemoteKeySet) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiters--
}

// isUnknown reports whether an id was not there a moment ago.
func (s *RemoteKeySet) isUnknown(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.unknown[maphash.String(s.seed, id)] // where two have one hash, a new one waits for seconds
	return ok && time.Now().Before(until)
}

// remember keeps in mind which of the ids that were asked for are not among the keys that a
// fetch has brought, and returns how many are not, and one of them. Ids that are there are
// wanted no more.
func (s *RemoteKeySet) remember(asked map[string]struct{}, answer *fetched) (n int, one string) {
	has := func(id string) bool {
		_, err := answer.keys.key(context.Background(), id, true)
		return err == nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.wanted, func(id string, _ struct{}) bool { return has(id) })
	s.wantedAny = false
	now := time.Now()
	maps.DeleteFunc(s.unknown, func(_ uint64, until time.Time) bool { return !now.Before(until) })
	if len(s.unknown)+len(asked) > remoteUnknown {
		clear(s.unknown) // to ask for them again costs a request now and then
	}
	until := answer.begun.Add(remoteForget) // a key may have come since
	for id := range asked {
		if !has(id) {
			s.unknown[maphash.String(s.seed, id)] = until
			n, one = n+1, id
		}
	}
	return n, one
}

// takeWanted returns the ids that a fetch that begins now is for.
func (s *RemoteKeySet) takeWanted() map[string]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.asked:
	default:
	}
	ids := s.wanted
	s.wanted, s.wantedAny = make(map[string]struct{}), false
	return ids
}

func (s *RemoteKeySet) anyWanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.wanted) > 0 || s.wantedAny
}
