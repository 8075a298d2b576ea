package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// principalOf verifies a token, which must be good. A token that was kept has the principal
// of the last time, which is how these tests know.
func principalOf(t testing.TB, v *verify.Verifier, token string) *verify.Principal {
	t.Helper()
	p, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantKept(t *testing.T, v *verify.Verifier, token string, before *verify.Principal, kept bool) *verify.Principal {
	t.Helper()
	p := principalOf(t, v, token)
	if (p == before) != kept {
		t.Errorf("kept: %v, want %v", p == before, kept)
	}
	return p
}

// newClocked returns a verifier to which it is as late as clock says.
func newClocked(t testing.TB, clock *time.Time) *verify.Verifier {
	t.Helper()
	c := config(plainIssuer(t))
	c.Now = func() time.Time { return *clock }
	return newVerifier(t, c)
}

// TestCacheTimes has a token kept from when it is good to its "exp", and refused when it
// would be without.
func TestCacheTimes(t *testing.T) {
	clock := now
	v := newClocked(t, &clock)
	s := signers()[verify.EdDSA]
	at := func(d time.Duration) { clock = now.Add(d) }

	token := s.Token(plain().With("nbf", now.Unix())) // and "exp" in an hour
	p := principalOf(t, v, token)
	p = wantKept(t, v, token, p, true)
	at(-time.Minute)
	p = wantKept(t, v, token, p, true)
	at(-time.Minute - 1)
	wantRefused(t, v, token, verify.NotYetValid)
	at(0)
	p = wantKept(t, v, token, p, true)
	at(time.Hour - 1)
	p = wantKept(t, v, token, p, true)
	at(time.Hour)
	p = wantKept(t, v, token, p, false) // it is good by the leeway only
	wantKept(t, v, token, p, false)
	at(time.Hour + time.Minute)
	wantRefused(t, v, token, verify.Expired)

	// One without "iat" lives too long until a time.
	at(0)
	token = s.Token(plain().With("iat", nil).With("exp", now.Add(24*time.Hour+time.Minute).Unix()))
	p = principalOf(t, v, token)
	wantKept(t, v, token, p, true)
	at(-1)
	wantRefused(t, v, token, verify.TooLongLived)
}

// TestCacheKeys has keys leave a set, and tokens with them, and no others.
func TestCacheKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newSigner("a"), newSigner("b")
		w := newRemoteWorld(t, verify.RemoteConfig{}, a, b)
		ofA, ofB := a.Token(plain()), b.Token(plain())
		pA, pB := principalOf(t, w.verifier, ofA), principalOf(t, w.verifier, ofB)
		wantKept(t, w.verifier, ofA, pA, true)
		w.Publish(b)
		wantKept(t, w.verifier, ofA, pA, true) // nobody knows
		time.Sleep(5 * time.Minute)
		wantRefused(t, w.verifier, ofA, verify.WrongKey)
		wantKept(t, w.verifier, ofB, pB, true) // its key is the same
		w.Publish(a, b)
		time.Sleep(5 * time.Minute)
		wantKept(t, w.verifier, ofA, pA, false)
		wantKept(t, w.verifier, ofB, pB, true)
		// Another key of the same id is another key.
		w.Publish(a, newSigner("b"))
		time.Sleep(5 * time.Minute)
		wantRefused(t, w.verifier, ofB, verify.WrongSignature)

		// A token without "kid" is for the only key.
		w.Publish(a)
		time.Sleep(5 * time.Minute)
		without := a.Sign(`{"alg":"EdDSA"}`, plain().JSON())
		p := principalOf(t, w.verifier, without)
		wantKept(t, w.verifier, without, p, true)
		w.Publish(a, b)
		time.Sleep(5 * time.Minute)
		wantRefused(t, w.verifier, without, verify.WrongKey)

		// When keys are too old, they are so for all tokens, until they are back.
		p = principalOf(t, w.verifier, ofA)
		w.Fail(500)
		time.Sleep(65*time.Minute + time.Second)
		wantRefused(t, w.verifier, ofA, verify.KeysUnavailable)
		w.Fail(0)
		time.Sleep(10 * time.Second)
		wantKept(t, w.verifier, ofA, p, true)

		// Whose key has left, waits for a fetch as if it came for the first time, and once.
		w.Publish(b)
		time.Sleep(5 * time.Minute)
		w.Stall()
		var all sync.WaitGroup
		all.Go(func() { w.wantTook(t, ofA, verify.WrongKey, 6*time.Second) })
		time.Sleep(6 * time.Second)
		w.Resume()
		all.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		a, b := newSigner("a"), newSigner("b")
		f := newKeyFile(t, jwks(a.JWK(), b.JWK()))
		ofA, ofB := a.Token(plain()), b.Token(plain())
		principalOf(t, f.v, ofA)
		p := principalOf(t, f.v, ofB)
		f.rename(jwks(b.JWK()))
		time.Sleep(2 * time.Second)
		wantRefused(t, f.v, ofA, verify.WrongKey)
		wantKept(t, f.v, ofB, p, true)
	})
}

// TestCacheRevocations has what is revoked asked for tokens that are kept, too.
func TestCacheRevocations(t *testing.T) {
	c := config(plainIssuer(t))
	r := &revocations{ids: map[string]bool{}}
	c.Revocations = r
	v := newVerifier(t, c)
	token := signers()[verify.EdDSA].Token(plain())
	p := principalOf(t, v, token)
	r.ids[p.TokenID] = true
	wantRefused(t, v, token, verify.Revoked)
	r.err = errors.New("not now")
	wantRefused(t, v, token, verify.RevocationsUnavailable)
	r.ids[p.TokenID], r.err = false, nil
	wantKept(t, v, token, p, true)
	if len(r.asked) != 4 {
		t.Errorf("asked %d times, want 4", len(r.asked))
	}
}

// TestCacheFirstSights has many see a token for the first time at once.
func TestCacheFirstSights(t *testing.T) {
	a := newSigner("a")
	synctest.Test(t, func(t *testing.T) {
		s := new(verifytest.KeyServer)
		s.Publish(a)
		s.Stall()
		w := newRemoteWorldOf(t, verify.RemoteConfig{}, s)
		token := a.Token(plain())
		// The first one gives up.
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		giveUp := func() {
			_, err := w.verifier.Verify(ctx, token)
			if refusal := checkRefusal(t, nil, err, token, verify.KeysUnavailable); !errors.Is(refusal, context.Canceled) {
				t.Error(err)
			}
		}
		all.Go(giveUp)
		synctest.Wait()
		principals := make([]*verify.Principal, 100)
		for i := range principals {
			all.Go(func() { principals[i] = principalOf(t, w.verifier, token) })
		}
		all.Go(giveUp) // and one of those that wait for it
		synctest.Wait()
		cancel()
		synctest.Wait()
		w.Resume()
		all.Wait()
		for _, p := range principals {
			if p != principals[0] || p == nil {
				t.Fatal("it was verified several times")
			}
		}
	})
}

// TestCacheBounds has more tokens come than are kept, and refused ones.
func TestCacheBounds(t *testing.T) {
	c := config(plainIssuer(t))
	c.CacheBytes = 1 << 20
	v := newVerifier(t, c)
	s := signers()[verify.EdDSA]
	hot, cold := s.Token(plain()), s.Token(plain().With("sub", "cold"))
	pHot, pCold := principalOf(t, v, hot), principalOf(t, v, cold)

	// Refused tokens take no place of good ones.
	forged := verifiedBy(newSigner(s.KeyID))
	for n := range 2000 {
		wantRefused(t, v, forged(n), verify.WrongSignature)
		wantRefused(t, v, fmt.Sprint("x.y.", n), verify.Malformed)
	}
	wantKept(t, v, cold, pCold, true)

	// What is used stays; what is not goes.
	good := verifiedBy(s)
	before := heap()
	for n := range 5000 {
		principalOf(t, v, good(n))
		if n%100 == 0 {
			wantKept(t, v, hot, pHot, true)
		}
	}
	if grown := heap() - before; grown > 1<<20+200<<10 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	wantKept(t, v, cold, pCold, false)
	wantKept(t, v, hot, pHot, true)

	// Strings with escapes are copies, which are counted.
	v = newVerifier(t, c)
	before = heap()
	escaped := strings.Repeat("x", 3000) + "\n"
	for n := range 500 {
		principalOf(t, v, s.Token(plain().With("sub", fmt.Sprint(escaped, n))))
	}
	if grown := heap() - before; grown > 1<<20+200<<10 {
		t.Errorf("with escapes, the heap has grown by %d bytes", grown)
	}
	runtime.KeepAlive(v)

	// One that is too long for all of it is verified every time.
	c.CacheBytes = 1
	v = newVerifier(t, c)
	wantKept(t, v, hot, principalOf(t, v, hot), false)
	// As much as there is.
	c.CacheBytes = math.MaxInt
	v = newVerifier(t, c)
	wantKept(t, v, hot, principalOf(t, v, hot), true)
	// And all are without a cache.
	c.CacheBytes = -1
	v = newVerifier(t, c)
	wantKept(t, v, hot, principalOf(t, v, hot), false)
}

// TestCacheSweep has tokens that ended make room without being asked for.
func TestCacheSweep(t *testing.T) {
	clock := now
	v := newClocked(t, &clock)
	s := signers()[verify.EdDSA]
	padding := strings.Repeat("x", 4000)
	before := heap()
	token := func(n int) string {
		return s.Token(plain().With("sub", fmt.Sprint(n)).With("padding", padding).With("iat", clock.Unix()).With("exp", clock.Add(time.Minute).Unix()))
	}
	for round := range 10 {
		for n := range 200 {
			principalOf(t, v, token(round*1000+n))
		}
		clock = clock.Add(2 * time.Minute)
	}
	// Of 2000 tokens of 12 kB each, few more are kept than the 200 that are good at once.
	if grown := heap() - before; grown > 450*12<<10 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	runtime.KeepAlive(v)
}

func verifiedBy(s *signer) func(n int) string {
	return func(n int) string { return s.Token(plain().With("sub", fmt.Sprint(n))) }
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestCacheRefusals has a refused token come again, within ten seconds and later.
func TestCacheRefusals(t *testing.T) {
	clock := now
	v := newClocked(t, &clock)
	s := signers()[verify.ES256]
	good := s.Token(plain())
	for _, tt := range []struct {
		name, token string
		reason      verify.Reason
		remembered  bool
	}{
		{"a signature", good[:len(good)-8] + "AAAAAAAA", verify.WrongSignature, true},
		{"an audience", s.Token(plain().With("aud", "x")), verify.WrongAudience, true},
		{"a claim", s.Token(plain().With("sub", 1)), verify.WrongClaim, true},
		{"expired", s.Token(plain().With("exp", now.Add(-time.Hour).Unix())), verify.Expired, true},
		{"not yet valid", s.Token(plain().With("nbf", now.Add(24*time.Hour).Unix()).With("exp", now.Add(26*time.Hour).Unix()).With("iat", now.Add(24*time.Hour).Unix())), verify.NotYetValid, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const marked = "remembered"
			wantRefused(t, v, tt.token, tt.reason)
			if remembered := verify.MarkRefusal(v, tt.token, marked); remembered != tt.remembered {
				t.Errorf("remembered: %v", remembered)
			}
			clock = clock.Add(10*time.Second - 1)
			if tt.remembered {
				wantRefused(t, v, tt.token, marked)
			} else {
				wantRefused(t, v, tt.token, tt.reason)
			}
			clock = clock.Add(-time.Minute) // a clock that was set back says nothing of what is new
			wantRefused(t, v, tt.token, tt.reason)
			verify.MarkRefusal(v, tt.token, marked)
			clock = clock.Add(10 * time.Second)
			refusal := wantRefused(t, v, tt.token, tt.reason)
			refusal.Issuer = "changed" // it is the caller's
			if refusal := wantRefused(t, v, tt.token, tt.reason); refusal.Issuer != issuer {
				t.Error(refusal)
			}
		})
	}
}

// TestCacheChangesNoVerdict has two verifiers, of which one keeps nothing, in a world in
// which keys and the time change at random.
func TestCacheChangesNoVerdict(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	synctest.Test(t, func(t *testing.T) {
		all := []*signer{newSigner("0"), newSigner("1"), newSigner("2"), newSigner("0")}
		f := newKeyFile(t, jwks(all[0].JWK(), all[1].JWK()))
		clock := now
		c := config(verify.Issuer{Issuer: issuer, Audiences: []string{audience}, Keys: f.set})
		c.Now = func() time.Time { return clock }
		kept := newVerifier(t, c)
		c.CacheBytes = -1
		none := newVerifier(t, c)
		var tokens []string
		for range 300 {
			s := all[r.IntN(len(all))]
			later := func(hours float64) int64 {
				return now.Add(time.Duration((r.Float64()*2 - 1) * hours * float64(time.Hour))).Unix()
			}
			p := plain().With("iat", later(1)).With("exp", later(3))
			switch r.IntN(8) {
			case 0:
				p = p.With("iat", nil).With("exp", later(30))
			case 1:
				p = p.With("nbf", later(1))
			case 2:
				p = p.With("aud", "x")
			}
			token := s.Token(p)
			switch r.IntN(10) {
			case 0:
				token = token[:len(token)-4] + "AAAA"
			case 1:
				token = s.Sign(`{"alg":"EdDSA"}`, p.JSON())
			}
			tokens = append(tokens, token)
		}
		verdicts := make(map[verify.Reason]int)
		for n := range 20_000 {
			switch r.IntN(100) {
			case 0:
				var keys []claims
				for _, i := range r.Perm(len(all))[:1+r.IntN(3)] {
					keys = append(keys, all[i].JWK())
				}
				f.rename(jwks(keys...))
				time.Sleep(2 * time.Second)
			case 1, 2, 3:
				clock = now.Add(time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour)
			}
			clock = clock.Add(time.Second)
			token := tokens[r.IntN(len(tokens))]
			p1, err1 := kept.Verify(t.Context(), token)
			p2, err2 := none.Verify(t.Context(), token)
			if fmt.Sprint(err1) != fmt.Sprint(err2) {
				t.Fatalf("%d: %v, but without a cache %v", n, err1, err2)
			}
			reason := verify.Reason("")
			if err1 == nil {
				if diff := cmp.Diff(p2, p1, cmp.AllowUnexported(verify.Principal{})); diff != "" {
					t.Fatal(diff)
				}
			} else {
				reason = err1.(*verify.Refusal).Reason
			}
			verdicts[reason]++
		}
		t.Log(verdicts)
		for _, reason := range []verify.Reason{"", verify.WrongKey, verify.WrongSignature, verify.WrongAudience, verify.Expired, verify.NotYetValid, verify.TooLongLived} {
			if verdicts[reason] < 20 {
				t.Errorf("%d verdicts of %q", verdicts[reason], reason)
			}
		}
	})
}

// TestCacheConcurrently has many use a small cache while keys change.
func TestCacheConcurrently(t *testing.T) {
	a, b := newSigner("a"), newSigner("b")
	f := newKeyFile(t, jwks(a.JWK(), b.JWK()))
	c := config(verify.Issuer{Issuer: issuer, Audiences: []string{audience}, Keys: f.set})
	c.CacheBytes = 100 << 10
	v := newVerifier(t, c)
	var tokens []string
	for n := range 200 {
		s := a
		if n%2 > 0 {
			s = b
		}
		tokens = append(tokens, verifiedBy(s)(n))
	}
	var all sync.WaitGroup
	var good atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 5000 {
				n := rand.IntN(len(tokens))
				p, err := v.Verify(context.Background(), tokens[n])
				switch {
				case err == nil && p.Subject == fmt.Sprint(n):
					good.Add(1)
				case err == nil:
					t.Errorf("token %d is of %s", n, p.Subject)
				default:
					if refusal, _ := errors.AsType[*verify.Refusal](err); refusal.Reason != verify.WrongKey || n%2 == 0 {
						t.Errorf("token %d: %v", n, err)
					}
				}
			}
		})
	}
	for n := range 20 {
		keys := []claims{a.JWK(), b.JWK()}
		f.rename(jwks(keys[:1+n%2]...))
		time.Sleep(10 * time.Millisecond)
	}
	all.Wait()
	if good.Load() == 0 {
		t.Error("none was good")
	}
}

// TestCacheCollisions has tokens of one hash, which differ in their first or their last byte,
// or their length, on both sides of where their text is cut.
func TestCacheCollisions(t *testing.T) {
	for _, n := range []int{1, 10, 567, 568, 569, 2000} {
		one := strings.Repeat("x", n)
		for _, other := range []string{"y" + one[1:], one[1:] + "y", one[1:], one + "x", ""} {
			if verify.CacheCollides(one, other) {
				t.Errorf("of %d bytes and %d: one is taken for the other", n, len(other))
			}
		}
	}
}
