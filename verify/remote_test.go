package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth/internal/inprocess"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// keyEvents keeps what happened.
type keyEvents struct {
	mu   sync.Mutex
	list []verify.KeyEvent
}

func (e *keyEvents) tell(event verify.KeyEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, event)
}

// take returns the events since the last time, in words.
func (e *keyEvents) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var words []string
	for _, event := range e.list {
		words = append(words, event.String())
	}
	e.list = nil
	return words
}

// want checks the events since the last time, in a bubble.
func (e *keyEvents) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, e.take()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// remoteWorld is a verifier with the keys of a server, in a bubble of fake time.
type remoteWorld struct {
	*verifytest.KeyServer
	events   keyEvents
	set      *verify.RemoteKeySet
	verifier *verify.Verifier
}

// newRemoteWorld returns one of a server that publishes the keys of these signers.
func newRemoteWorld(t *testing.T, c verify.RemoteConfig, signers ...*signer) *remoteWorld {
	t.Helper()
	s := new(verifytest.KeyServer)
	s.Publish(signers...)
	return newRemoteWorldOf(t, c, s)
}

func newRemoteWorldOf(t *testing.T, c verify.RemoteConfig, s *verifytest.KeyServer) *remoteWorld {
	t.Helper()
	w := &remoteWorld{KeyServer: s}
	c.URL = "https://issuer.example/jwks.json"
	if c.Transport == nil {
		c.Transport = inprocess.Transport{Handler: w.KeyServer}
	}
	c.OnEvent = w.events.tell
	w.set, w.verifier = newRemoteVerifier(t, c)
	return w
}

// newRemoteVerifier returns a verifier with the keys that c says, which are closed at the
// end of the test.
func newRemoteVerifier(t testing.TB, c verify.RemoteConfig) (*verify.RemoteKeySet, *verify.Verifier) {
	t.Helper()
	set, err := verify.NewRemoteKeySet(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return set, newVerifier(t, config(verify.Issuer{Issuer: issuer, Audiences: []string{audience}, Keys: set}))
}

// wantTook verifies a token as wantRefused does, and checks how long that took.
func (w *remoteWorld) wantTook(t *testing.T, token string, want verify.Reason, took time.Duration) {
	t.Helper()
	begun := time.Now()
	wantRefused(t, w.verifier, token, want)
	if d := time.Since(begun); d != took {
		t.Errorf("it took %v, want %v", d, took)
	}
}

func (w *remoteWorld) wantFetches(t *testing.T, n int) {
	t.Helper()
	synctest.Wait()
	if got := w.Fetches(); got != n {
		t.Errorf("%d fetches, want %d", got, n)
	}
}

func newSigner(id string) *signer { return verifytest.NewSigner(verify.EdDSA, id) }

// TestRemoteRefresh has keys fetched before they are asked for, and again before they are
// no longer fresh, within bounds.
func TestRemoteRefresh(t *testing.T) {
	a, b := newSigner("a"), newSigner("b")
	for _, tt := range []struct {
		maxAge, fresh time.Duration
	}{
		{0, 5 * time.Minute},
		{time.Second, time.Minute},
		{5 * time.Minute, 5 * time.Minute},
		{20 * time.Minute, 20 * time.Minute},
		{24 * time.Hour, time.Hour},
	} {
		t.Run(tt.maxAge.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := new(verifytest.KeyServer)
				server.Publish(a)
				server.SetMaxAge(tt.maxAge)
				w := newRemoteWorldOf(t, verify.RemoteConfig{}, server)
				w.wantFetches(t, 1) // nobody has asked
				w.wantTook(t, a.Token(plain()), "", 0)
				w.events.want(t, "a key set of 1 keys was fetched")
				w.wantFetches(t, 1)
				time.Sleep(tt.fresh * 3 / 4)
				w.wantFetches(t, 1)
				w.Publish(b)
				time.Sleep(tt.fresh / 8)
				w.wantFetches(t, 2)
				w.events.want(t, "a key set of 1 keys was fetched")
				w.wantTook(t, b.Token(plain()), "", 0)
				w.wantFetches(t, 2)
				w.wantTook(t, a.Token(plain()), verify.WrongKey, 0) // gone; it is looked for
				w.wantFetches(t, 3)
			})
		})
	}
}

// TestRemoteUnknownID has tokens with unknown ids wait for one fetch, and then for others
// more rarely.
func TestRemoteUnknownID(t *testing.T) {
	a, b, c := newSigner("a"), newSigner("b"), newSigner("c")
	synctest.Test(t, func(t *testing.T) {
		w := newRemoteWorld(t, verify.RemoteConfig{}, a)
		w.wantFetches(t, 1)
		w.events.take()
		time.Sleep(time.Second)

		// One fetch for all that come meanwhile.
		w.Publish(a, b)
		w.Stall()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { w.wantTook(t, b.Token(plain()), "", time.Second) })
		}
		w.wantFetches(t, 2)
		time.Sleep(time.Second)
		w.Resume()
		all.Wait()
		w.wantFetches(t, 2)
		w.events.want(t, "a key set of 2 keys was fetched")

		// An id that is not there is asked for again after five seconds.
		time.Sleep(time.Second)
		w.wantTook(t, c.Token(plain()), verify.WrongKey, 0)
		w.wantFetches(t, 3)
		w.events.want(t, "the key set of 2 keys is what it was", `1 ids of keys are not in the key set, among them "c"`)
		w.wantTook(t, c.Token(plain()), verify.WrongKey, 0)
		time.Sleep(4999 * time.Millisecond)
		w.wantTook(t, c.Token(plain()), verify.WrongKey, 0)
		w.wantFetches(t, 3)
		time.Sleep(time.Millisecond)
		w.Publish(b, c)
		w.wantTook(t, c.Token(plain()), "", 0)
		w.wantFetches(t, 4)
		w.events.want(t, "a key set of 2 keys was fetched")

		// Five times at once, and then every three seconds.
		time.Sleep(time.Minute)
		for n := range 5 {
			w.wantTook(t, newSigner(fmt.Sprint("x", n)).Token(plain()), verify.WrongKey, 0)
		}
		w.wantFetches(t, 9)
		w.wantTook(t, newSigner("y").Token(plain()), verify.WrongKey, 3*time.Second)
		w.wantFetches(t, 10)
		// What waits is served by the fetch that is to come.
		next := newSigner("z")
		w.Publish(c, next)
		w.wantTook(t, next.Token(plain()), "", 3*time.Second)
		w.wantFetches(t, 11)

		// A fetch that began before a token came says nothing of it.
		time.Sleep(time.Minute)
		w.Stall()
		all.Go(func() { w.wantTook(t, newSigner("early").Token(plain()), verify.WrongKey, time.Second) })
		w.wantFetches(t, 12)
		time.Sleep(500 * time.Millisecond)
		all.Go(func() { w.wantTook(t, newSigner("late").Token(plain()), verify.WrongKey, 500*time.Millisecond) })
		synctest.Wait()
		time.Sleep(500 * time.Millisecond)
		w.Resume()
		all.Wait()
		w.wantFetches(t, 13)

		// One that is longer than any key's wants no fetch, and neither does none.
		w.wantTook(t, newSigner(strings.Repeat("x", 1025)).Token(plain()), verify.WrongKey, 0)
		w.wantFetches(t, 13)
		w.wantTook(t, c.Sign(`{"alg":"EdDSA"}`, plain().JSON()), verify.WrongKey, 0)
		w.wantFetches(t, 13)
	})
}

// TestRemoteFlood has 10,000 made-up ids a second come while keys rotate. The ids of new
// keys may be among them before those keys are there.
func TestRemoteFlood(t *testing.T) {
	const (
		seconds = 30
		rate    = 10_000
		every   = 7 // seconds between rotations
	)
	steady := newSigner("steady")
	token := steady.Token(plain())
	payload, signature := b64([]byte(plain().JSON())), b64(make([]byte, 64))
	for _, tt := range []struct {
		name    string
		guessed bool
		worst   time.Duration
	}{{"made up", false, 4 * time.Second}, {"guessed", true, 8 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newRemoteWorld(t, verify.RemoteConfig{}, steady)
				w.wantFetches(t, 1)
				var all sync.WaitGroup
				var refused, worst, wrong atomic.Int64
				// Whoever has a token of a new key tries until it is accepted.
				rotate := func(id string) {
					s := newSigner(id)
					w.Publish(steady, s)
					begun, token := time.Now(), s.Token(plain())
					for {
						_, err := w.verifier.Verify(t.Context(), token)
						if err == nil {
							break
						}
						refused.Add(1)
						if refusal, _ := errors.AsType[*verify.Refusal](err); refusal.Reason != verify.KeysUnavailable && !tt.guessed {
							wrong.Add(1)
						}
						time.Sleep(10 * time.Millisecond)
					}
					worst.Store(max(worst.Load(), int64(time.Since(begun))))
				}
				for n := range seconds * rate {
					round := n / (every * rate)
					id := fmt.Sprint("made-up-", n)
					switch {
					case n%(every*rate) == every*rate*(round+1)/7: // at another time each
						all.Go(func() { rotate(fmt.Sprint("rotated-", round)) })
					case n%100 == 0:
						if _, err := w.verifier.Verify(t.Context(), token); err != nil {
							wrong.Add(1)
						}
					case n%100 == 1 && tt.guessed:
						id = fmt.Sprint("rotated-", round)
					}
					all.Go(func() {
						header := b64(fmt.Appendf(nil, `{"alg":"EdDSA","kid":%q}`, id))
						if _, err := w.verifier.Verify(t.Context(), header+"."+payload+"."+signature); err == nil {
							wrong.Add(1)
						}
					})
					time.Sleep(time.Second / rate)
				}
				all.Wait()
				took := time.Duration(worst.Load())
				t.Logf("%d ids in %d s cost %d fetches; a rotation took %v at most, and %d refusals", seconds*rate, seconds, w.Fetches(), took, refused.Load())
				if wrong.Load() > 0 {
					t.Errorf("%d wrong answers", wrong.Load())
				}
				if wanted, unknown := w.set.Remembers(); wanted > 1024 || unknown > 1024 {
					t.Errorf("%d ids are wanted, and %d known to be unknown", wanted, unknown)
				}
				if n := w.Fetches(); n > seconds/3+7 {
					t.Errorf("%d fetches in %d s", n, seconds)
				}
				if took > tt.worst || took == 0 {
					t.Errorf("a rotation took %v, want %v at most", took, tt.worst)
				}
			})
		})
	}
}

// TestRemoteFailure has an issuer fail: keys serve on for a while, and come back.
func TestRemoteFailure(t *testing.T) {
	a, b := newSigner("a"), newSigner("b")
	for _, tt := range []struct{ maxStale, serves time.Duration }{{0, time.Hour}, {-1, 0}, {10 * time.Minute, 10 * time.Minute}} {
		t.Run(tt.maxStale.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newRemoteWorld(t, verify.RemoteConfig{MaxStale: tt.maxStale}, a)
				w.wantFetches(t, 1)
				begun := time.Now()
				w.Fail(http.StatusInternalServerError)
				w.events.take()
				const failed = "fetch key set: the server answered with status 500"
				const fresh = 5 * time.Minute
				stale := 0
				for time.Since(begun) < fresh+tt.serves {
					w.wantTook(t, a.Token(plain()), "", 0)
					time.Sleep(10 * time.Second)
					synctest.Wait()
					for _, e := range w.events.take() {
						switch {
						case e == "the key set is no longer fresh, and serves on: fetch key set: the server answered with status 500" && time.Since(begun) >= fresh:
							stale++
						case e == failed || strings.HasPrefix(e, "the key set is too old") && time.Since(begun) >= fresh+tt.serves:
						default:
							t.Errorf("after %v: %s", time.Since(begun), e)
						}
					}
				}
				if want := min(1, int(tt.serves)); stale != want {
					t.Errorf("said %d times that keys are stale, want %d", stale, want)
				}
				if n := w.Fetches(); n > 15+int(tt.serves/(30*time.Second)) {
					t.Errorf("%d fetches in %v", n, time.Since(begun))
				}
				synctest.Wait()
				refusal := wantRefused(t, w.verifier, a.Token(plain()), verify.KeysUnavailable)
				if !strings.Contains(refusal.Error(), "status 500") {
					t.Errorf("it does not say why: %v", refusal)
				}
				w.wantTook(t, b.Token(plain()), verify.KeysUnavailable, 0)
				// Tokens that are refused have it tried again, rather than what is due.
				w.Fail(0)
				time.Sleep(10 * time.Second)
				w.wantTook(t, a.Token(plain()), "", 0)
				w.wantTook(t, b.Token(plain()), verify.WrongKey, 0)
			})
		})
	}
}

// TestRemoteFailsFromTheStart has a service start without its issuer.
func TestRemoteFailsFromTheStart(t *testing.T) {
	a, b := newSigner("a"), newSigner("b")
	synctest.Test(t, func(t *testing.T) {
		s := new(verifytest.KeyServer)
		s.Publish(a)
		s.Fail(http.StatusBadGateway)
		w := newRemoteWorldOf(t, verify.RemoteConfig{}, s)
		w.wantTook(t, a.Token(plain()), verify.KeysUnavailable, 0)
		w.events.want(t, "fetch key set: the server answered with status 502")
		w.Fail(0)
		time.Sleep(6 * time.Second)
		w.wantTook(t, a.Token(plain()), "", 0)
	})
	// One that does not answer is waited for as long as a fetch takes, or the context lives.
	synctest.Test(t, func(t *testing.T) {
		s := new(verifytest.KeyServer)
		s.Stall()
		w := newRemoteWorldOf(t, verify.RemoteConfig{}, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.verifier.Verify(ctx, a.Token(plain()))
		checkRefusal(t, nil, err, a.Token(plain()), verify.KeysUnavailable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		w.wantTook(t, a.Token(plain()), verify.KeysUnavailable, 9*time.Second)
		w.events.want(t, "fetch key set: no whole answer within 10s")
		s.Publish(a)
		s.Resume()
		time.Sleep(6 * time.Second)
		w.wantTook(t, a.Token(plain()), "", 0)
		// While fetching fails, known keys serve, and unknown ones are not said to be wrong.
		s.Fail(http.StatusNotFound)
		w.wantTook(t, b.Token(plain()), verify.KeysUnavailable, 0)
		w.wantTook(t, a.Token(plain()), "", 0)
	})
}

// TestRemoteRetryAfter has an issuer ask for fewer requests.
func TestRemoteRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		field string
		rests time.Duration
	}{{"30", 30 * time.Second}, {"86400", time.Minute}, {"Sat, 01 Jan 2000 00:00:40 GMT", 40 * time.Second}, {"x", 0}, {"-5", 0}} {
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int32
			w := newRemoteWorld(t, verify.RemoteConfig{Transport: inprocess.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				w.Header().Set("Retry-After", tt.field)
				w.WriteHeader(http.StatusServiceUnavailable)
			})}})
			wantRequests := func(many bool) {
				t.Helper()
				synctest.Wait()
				if n := requests.Load(); n > 1 != many {
					t.Errorf("Retry-After: %s: %d requests after %v", tt.field, n, tt.rests)
				}
			}
			for begun := time.Now(); time.Since(begun) < tt.rests; time.Sleep(time.Second) {
				wantRefused(t, w.verifier, newSigner("a").Token(plain()), verify.KeysUnavailable)
				wantRequests(false)
			}
			time.Sleep(5 * time.Second)
			wantRequests(true)
		})
	}
}

// TestRemoteSlow has answers take long: what was not in one that began before a token came
// says nothing of it, and no fetch is made for what one has brought meanwhile.
func TestRemoteSlow(t *testing.T) {
	a, b := newSigner("a"), newSigner("b")
	synctest.Test(t, func(t *testing.T) {
		s := new(verifytest.KeyServer)
		s.Publish(a)
		delay := time.Duration(0)
		w := newRemoteWorldOf(t, verify.RemoteConfig{Transport: inprocess.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, r) // it is made now, and arrives later
			time.Sleep(delay)
			for name, values := range answer.Header() {
				w.Header()[name] = values
			}
			w.WriteHeader(answer.Code)
			w.Write(answer.Body.Bytes())
		})}}, s)
		w.wantFetches(t, 1)
		delay = 9 * time.Second
		time.Sleep(time.Minute)

		var all sync.WaitGroup
		token := b.Token(plain())
		all.Go(func() { // it comes before its key
			w.wantTook(t, token, verify.WrongKey, 9*time.Second)
			w.wantTook(t, token, "", 9*time.Second) // and that is soon no longer believed
		})
		time.Sleep(time.Second)
		w.Publish(a, b)
		time.Sleep(time.Second)
		other := b.Token(plain().With("jti", "2"))
		all.Go(func() { w.wantTook(t, other, "", 16*time.Second) })
		all.Wait()
		w.wantFetches(t, 3)

		// Five come for a new key while it is fetched.
		c := newSigner("c")
		w.Publish(a, b, c)
		time.Sleep(time.Minute)
		tokens := verifiedBy(c)
		for n := range 5 {
			all.Go(func() { w.wantTook(t, tokens(n), "", 9*time.Second-time.Duration(n)*time.Second) })
			time.Sleep(time.Second)
		}
		all.Wait()
		time.Sleep(30 * time.Second)
		w.wantFetches(t, 4)
	})
}

// TestRemoteWithoutID has tokens without ids of keys end an outage, too.
func TestRemoteWithoutID(t *testing.T) {
	a := newSigner("a")
	token := a.Sign(`{"alg":"EdDSA"}`, plain().JSON())
	synctest.Test(t, func(t *testing.T) {
		s := new(verifytest.KeyServer)
		s.Publish(a)
		s.Fail(http.StatusInternalServerError)
		w := newRemoteWorldOf(t, verify.RemoteConfig{}, s)
		time.Sleep(10 * time.Minute)
		w.Fail(0)
		wantRefused(t, w.verifier, token, verify.KeysUnavailable)
		time.Sleep(6 * time.Second)
		w.wantTook(t, token, "", 0)
	})
}

// TestRemoteOutage has unknown ids come all through an outage. When it is over, a new key is
// known as soon as ever.
func TestRemoteOutage(t *testing.T) {
	a, b := newSigner("a"), newSigner("b")
	synctest.Test(t, func(t *testing.T) {
		w := newRemoteWorld(t, verify.RemoteConfig{}, a)
		synctest.Wait()
		madeUp := func(n int) string { return newSigner(fmt.Sprint("made-up-", n)).Token(plain()) }
		for n := range 5 {
			w.wantTook(t, madeUp(n), verify.WrongKey, 0)
		}
		w.Fail(http.StatusInternalServerError)
		n := 5
		for begun := time.Now(); time.Since(begun) < 7*time.Second; time.Sleep(20 * time.Millisecond) {
			n++
			w.verifier.Verify(t.Context(), madeUp(n))
		}
		w.Fail(0)
		const fetched = "the key set of 1 keys is what it was"
		for w.events.take(); !slices.Contains(w.events.take(), fetched); time.Sleep(20 * time.Millisecond) {
		}
		w.Publish(a, b)
		begun := time.Now()
		wantRefused(t, w.verifier, b.Token(plain()), "")
		if d := time.Since(begun); d > 3*time.Second {
			t.Errorf("a new key took %v", d)
		}
	})
}

// TestRemoteHookHangs has a hook that does not return: keys are fetched, and end, all the
// same.
func TestRemoteHookHangs(t *testing.T) {
	a := newSigner("a")
	synctest.Test(t, func(t *testing.T) {
		s := new(verifytest.KeyServer)
		s.Publish(a)
		hangs := make(chan struct{})
		var told atomic.Int32
		set, v := newRemoteVerifier(t, verify.RemoteConfig{URL: "https://issuer.example", Transport: inprocess.Transport{Handler: s}, OnEvent: func(verify.KeyEvent) {
			told.Add(1)
			<-hangs
		}})
		wantRefused(t, v, a.Token(plain()), "")
		s.Publish()
		time.Sleep(5 * time.Minute)
		wantRefused(t, v, a.Token(plain()), verify.WrongKey)
		s.Publish(a)
		time.Sleep(5 * time.Minute)
		wantRefused(t, v, a.Token(plain()), "")
		s.Fail(http.StatusInternalServerError)
		time.Sleep(2 * time.Hour)
		wantRefused(t, v, a.Token(plain()), verify.KeysUnavailable)
		if n := told.Load(); n != 1 {
			t.Errorf("told %d times at once", n)
		}
		close(hangs)
		set.Close()
		if n := told.Load(); n < 10 || n > 66 {
			t.Errorf("told %d times", n)
		}
	})
}

// TestRemoteWaiters has more callers wait than may.
func TestRemoteWaiters(t *testing.T) {
	a := newSigner("a")
	synctest.Test(t, func(t *testing.T) {
		w := newRemoteWorld(t, verify.RemoteConfig{}, a)
		synctest.Wait()
		w.Stall()
		tokens := verifiedBy(newSigner("b")) // others of one id
		var all sync.WaitGroup
		for n := range 1024 {
			all.Go(func() { w.wantTook(t, tokens(n), verify.KeysUnavailable, 10*time.Second) })
		}
		synctest.Wait()
		w.wantTook(t, tokens(1024), verify.KeysUnavailable, 0)
		w.wantTook(t, a.Token(plain()), "", 0)
		all.Wait()
		w.Resume()
		time.Sleep(6 * time.Second)
		w.wantTook(t, tokens(0), verify.WrongKey, 0) // there is room again
	})
}

// TestRemoteClose has a key set closed, also while somebody waits.
func TestRemoteClose(t *testing.T) {
	a := newSigner("a")
	synctest.Test(t, func(t *testing.T) {
		w := newRemoteWorld(t, verify.RemoteConfig{}, a)
		w.wantTook(t, a.Token(plain()), "", 0)
		w.Stall()
		var all sync.WaitGroup
		all.Go(func() { w.wantTook(t, newSigner("b").Token(plain()), verify.KeysUnavailable, time.Second) })
		time.Sleep(time.Second)
		for range 2 {
			if err := w.set.Close(); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
		refusal := wantRefused(t, w.verifier, a.Token(plain()), verify.KeysUnavailable)
		if !strings.Contains(refusal.Error(), "closed") {
			t.Error(refusal)
		}
		n := w.Fetches()
		time.Sleep(24 * time.Hour)
		w.wantFetches(t, n)
	})
}

// TestRemoteIgnoredKeys has keys left out, and said so once for each set of them.
func TestRemoteIgnoredKeys(t *testing.T) {
	a := newSigner("a")
	set := func(changes ...claims) []byte {
		keys := []claims{a.JWK()}
		for i, c := range changes {
			keys = append(keys, newSigner(fmt.Sprint("odd-", i)).JWK(c))
		}
		return jwks(keys...)
	}
	synctest.Test(t, func(t *testing.T) {
		var text atomic.Value
		text.Store(set(claims{"use": "enc"}))
		w := newRemoteWorld(t, verify.RemoteConfig{Transport: inprocess.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Write(text.Load().([]byte))
		})}})
		synctest.Wait()
		w.events.want(t, "a key set of 1 keys was fetched", `the key with "kid" "odd-0" is ignored: its "use" is not "sig"`)
		time.Sleep(5 * time.Minute)
		w.events.want(t, "the key set of 1 keys is what it was")
		text.Store(set(claims{"use": "enc"}, claims{"kty": "odd"}))
		time.Sleep(5 * time.Minute)
		w.events.want(t, "the key set of 1 keys is what it was", `the key with "kid" "odd-1" is ignored: it is neither of P-256, nor of Ed25519, nor of RSA`)
		text.Store(jwks())
		time.Sleep(5 * time.Minute)
		w.events.want(t, "the key set has no key that is of use: every token is refused")
		w.wantTook(t, a.Token(plain()), verify.WrongKey, 0)
		text.Store(set())
		time.Sleep(5 * time.Minute)
		w.wantTook(t, a.Token(plain()), "", 0)
	})
}
