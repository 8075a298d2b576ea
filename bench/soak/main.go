// Command soak has a service verify tokens at its capacity while all that can change does:
// keys, tokens and revocations every second, under a flood of made-up keys. It checks every
// answer, and whether memory stays flat, and exits with 1 if anything is wrong.
//
//	go run ./bench/soak -for 5m
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

const (
	issuer    = "https://issuer.example"
	audience  = "service"
	clients   = 32
	stubborn  = 16  // clients that send tokens of keys that are gone, too, and wait for these
	perSecond = 300 // new tokens
	flood     = 200 // requests with made-up ids of keys a second
	shortest  = 3   // life of a token, in seconds
	longest   = 8
	kept      = 7 // keys that are published at once: the next one, this one, and those before
)

func main() {
	length := flag.Duration("for", 5*time.Minute, "how long")
	flag.Parse()
	r, err := soak(*length)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
	fmt.Println(r)
	if err := r.check(); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// moment is a time that comes once: zero until then.
type moment struct{ at atomic.Int64 }

func (m *moment) come() { m.at.CompareAndSwap(0, time.Now().UnixNano()) }

func (m *moment) hasComeBy(t time.Time) bool {
	n := m.at.Load()
	return n != 0 && n <= t.UnixNano()
}

// key is a signer, and when it stops to be one.
type key struct {
	*verifytest.Signer
	leaves moment // when it is about to be no longer published
	gone   moment // when the service is known to have learnt that
	seen   bool   // keys were fetched since it left, but it may not have left when that began
}

// token is one that clients send, and when it stops to be good.
type token struct {
	text     string
	session  string
	reason   verify.Reason // why it never was, or ""
	key      *key
	expires  time.Time
	revoking moment // when it is about to be revoked
	revoked  moment // when it has been
}

// judge says what is wrong with an answer to a request that was sent and answered at these
// times. Between the two, what changes may have been or not.
func (k *token) judge(sent, answered time.Time, status int, got answer) error {
	if status == http.StatusOK {
		switch {
		case k.reason != "":
			return fmt.Errorf("one to refuse (%s) is accepted", k.reason)
		case !sent.Before(k.expires):
			return errors.New("an expired one is accepted")
		case k.revoked.hasComeBy(sent):
			return errors.New("a revoked one is accepted")
		case k.key.gone.hasComeBy(sent):
			return errors.New("one of a key that is gone is accepted")
		case got.Session != k.session:
			return fmt.Errorf("session %s is taken for %s", k.session, got.Session)
		}
		return nil
	}
	if status != http.StatusUnauthorized {
		return fmt.Errorf("status %d: %s", status, got.Reason)
	}
	switch may := got.Reason; {
	case may == k.reason:
	case may == verify.Expired && !answered.Before(k.expires):
	case may == verify.Revoked && k.revoking.hasComeBy(answered):
	case may == verify.WrongKey && k.key.leaves.hasComeBy(answered):
	default:
		return fmt.Errorf("refused: %s, and it is good until %v, sent at %v", may, k.expires, sent)
	}
	return nil
}

// answer is the body of the service's answer, or of its refusal.
type answer struct {
	Session string
	Reason  verify.Reason
}

// revocations are session ids, until their tokens have expired.
type revocations struct {
	lock sync.RWMutex
	ids  map[string]time.Time
}

func (r *revocations) Revoked(_ context.Context, p *verify.Principal) (bool, error) {
	r.lock.RLock()
	defer r.lock.RUnlock()
	_, ok := r.ids[p.Session]
	return ok, nil
}

func (r *revocations) add(k *token) {
	k.revoking.come()
	r.lock.Lock()
	r.ids[k.session] = k.expires
	maps.DeleteFunc(r.ids, func(_ string, expires time.Time) bool { return time.Since(expires) > time.Minute })
	r.lock.Unlock()
	k.revoked.come()
}

// world is the issuer, the service, and the tokens that there are.
type world struct {
	keyServer   *verifytest.KeyServer
	revocations revocations
	service     *httptest.Server

	lock    sync.Mutex
	keys    []*key // published
	leaving []*key // no longer published
	tokens  []*token
	number  int

	result
}

// result is what came of it.
type result struct {
	length    time.Duration
	fetches   int
	rotations int
	accepted  atomic.Int64
	refused   [5]atomic.Int64 // by reasons
	floods    atomic.Int64
	wrong     atomic.Int64
	lock      sync.Mutex
	first     error // of what is wrong
	heap      []uint64

	goroutines int // before it began
}

var reasons = []verify.Reason{verify.WrongSignature, verify.WrongAudience, verify.Expired, verify.Revoked, verify.WrongKey}

func (r *result) String() string {
	var b strings.Builder
	total := r.accepted.Load()
	for i := range reasons {
		total += r.refused[i].Load()
	}
	fmt.Fprintf(&b, "%d answers in %v, %.0f a second, all checked: %d accepted", total, r.length.Round(time.Second), float64(total)/r.length.Seconds(), r.accepted.Load())
	for i, reason := range reasons {
		fmt.Fprintf(&b, ", %d %s", r.refused[i].Load(), reason)
	}
	fmt.Fprintf(&b, "; %d wrong. %d rotations, and %d made-up ids, cost %d fetches. The heap: ", r.wrong.Load(), r.rotations, r.floods.Load(), r.fetches)
	for i, n := range r.heap {
		if i%max(1, len(r.heap)/10) == 0 {
			fmt.Fprintf(&b, "%.1f ", float64(n)/1e6)
		}
	}
	b.WriteString("MB.")
	return b.String()
}

// check says what is not as it should be.
func (r *result) check() error {
	if n := r.wrong.Load(); n > 0 {
		return fmt.Errorf("%d wrong answers: %w", n, r.first)
	}
	for i, reason := range reasons {
		if r.refused[i].Load() == 0 && r.length > 20*time.Second {
			return fmt.Errorf("nothing was refused for %s", reason)
		}
	}
	if r.accepted.Load() == 0 {
		return errors.New("nothing was accepted")
	}
	// One at once, one in three seconds, and those of the burst and the schedule.
	if most := 10 + int(r.length.Seconds()/2); r.fetches > most {
		return fmt.Errorf("%d fetches, and %d are the most that made-up ids may cost", r.fetches, most)
	}
	if r.floods.Load() == 0 {
		return errors.New("no made-up id was answered")
	}
	// Connections that were closed just now need a moment, on a machine that is busy.
	n := runtime.NumGoroutine()
	for deadline := time.Now().Add(5 * time.Second); n > r.goroutines+5 && time.Now().Before(deadline); n = runtime.NumGoroutine() {
		time.Sleep(10 * time.Millisecond)
	}
	if n > r.goroutines+5 {
		return fmt.Errorf("%d goroutines are left, of %d", n, r.goroutines)
	}
	if n := len(r.heap) / 3; n > 2 {
		early, late := median(r.heap[n:2*n]), median(r.heap[2*n:])
		if late > early+early/10+2<<20 {
			return fmt.Errorf("memory grows: from %d to %d bytes", early, late)
		}
	}
	return nil
}

func median(sample []uint64) uint64 {
	sample = slices.Sorted(slices.Values(sample))
	return sample[len(sample)/2]
}

func soak(length time.Duration) (*result, error) {
	before := runtime.NumGoroutine()
	w := &world{keyServer: verifytest.NewKeyServer()}
	w.goroutines = before
	defer w.keyServer.Close()
	w.revocations.ids = make(map[string]time.Time)
	w.rotate()
	keys, err := verify.NewRemoteKeySet(verify.RemoteConfig{URL: w.keyServer.URL, OnEvent: w.learn})
	if err != nil {
		return nil, err
	}
	defer keys.Close()
	verifier, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{
			Issuer: issuer, Audiences: []string{audience}, Algorithms: []verify.Algorithm{verify.EdDSA}, Keys: keys,
			Leeway: -1, // so that the moment of expiry is known
		}},
		Revocations: &w.revocations,
		CacheBytes:  1 << 20, // less than all tokens take
	})
	if err != nil {
		return nil, err
	}
	guard := &verify.Guard{Verifier: verifier}
	w.service = httptest.NewServer(guard.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p, _ := verify.PrincipalFrom(r.Context())
		json.NewEncoder(rw).Encode(answer{Session: p.Session})
	})))
	defer w.service.Close()

	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: 4 * clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for n := range clients + stubborn {
		all.Go(func() {
			for ctx.Err() == nil {
				if k := w.pick(); n < stubborn || !k.key.leaves.hasComeBy(time.Now()) {
					w.send(ctx, client, k)
				}
			}
		})
	}
	all.Go(func() { w.flood(ctx, client) })
	every(ctx, time.Second, func() {
		w.rotate()
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		w.heap = append(w.heap, m.HeapAlloc)
	})
	all.Wait()
	w.result.length = time.Since(begun)
	w.result.fetches = w.keyServer.Fetches()
	return &w.result, nil
}

// every calls do at this interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}

// rotate has the issuer go on to its next key, with new tokens, and revokes some.
func (w *world) rotate() {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.rotations++
	for len(w.keys) < kept {
		w.keys = append(w.keys, w.newKey())
	}
	if w.rotations > 1 {
		w.keys = append(w.keys, w.newKey())
		w.keys[0].leaves.come()
		w.leaving = append(w.leaving, w.keys[0])
		w.keys = slices.Delete(w.keys, 0, 1)
	}
	var signers []*verifytest.Signer
	for _, k := range w.keys {
		signers = append(signers, k.Signer)
	}
	w.keyServer.Publish(signers...)

	signer := w.keys[kept-2] // the last one is published before it is used
	forger := verifytest.NewSigner(verify.EdDSA, signer.KeyID)
	now := time.Now()
	for range perSecond {
		w.number++
		k := &token{session: fmt.Sprint("session-", w.number), key: signer, expires: time.Unix(now.Unix()+shortest+rand.Int64N(longest-shortest+1), 0)}
		c := verifytest.Claims{"iss": issuer, "aud": audience, "sub": "ccr:session:" + k.session, "exp": k.expires.Unix()}
		s := signer.Signer
		switch rand.IntN(20) {
		case 0:
			k.reason, s = verify.WrongSignature, forger
		case 1:
			k.reason = verify.WrongAudience
			c = c.With("aud", "another")
		}
		k.text = s.Token(c)
		w.tokens = append(w.tokens, k)
	}
	// Those of some seconds after their end are still sent.
	w.tokens = slices.DeleteFunc(w.tokens, func(k *token) bool { return now.Sub(k.expires) > 2*time.Second })
	for range perSecond / 10 {
		w.revocations.add(w.tokens[rand.IntN(len(w.tokens))])
	}
}

func (w *world) newKey() *key {
	w.number++
	return &key{Signer: verifytest.NewSigner(verify.EdDSA, fmt.Sprint("key-", w.number))}
}

// learn notes which keys the service is known to have no longer: those that had left when
// the fetch before the one that is told of now was told of, since that one began later.
func (w *world) learn(e verify.KeyEvent) {
	if e.Kind != verify.KeysFetched {
		return
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	for _, k := range w.leaving {
		if k.seen {
			k.gone.come()
		}
		k.seen = true
	}
	w.leaving = slices.DeleteFunc(w.leaving, func(k *key) bool { return k.gone.hasComeBy(time.Now()) })
}

func (w *world) pick() *token {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.tokens[rand.IntN(len(w.tokens))]
}

// send sends a token and judges the answer.
func (w *world) send(ctx context.Context, client *http.Client, k *token) {
	sent := time.Now()
	status, got, err := w.ask(ctx, client, k.text)
	if err == nil {
		err = k.judge(sent, time.Now(), status, got)
	}
	switch {
	case ctx.Err() != nil: // it was cut off
	case err != nil:
		w.fail(err)
	case status == http.StatusOK:
		w.accepted.Add(1)
	default:
		w.refused[slices.Index(reasons, got.Reason)].Add(1)
	}
}

func (w *world) fail(err error) {
	w.wrong.Add(1)
	w.result.lock.Lock()
	defer w.result.lock.Unlock()
	if w.first == nil {
		w.first = err
	}
}

func (w *world) ask(ctx context.Context, client *http.Client, text string) (status int, got answer, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.service.URL, nil)
	if err != nil {
		return 0, answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+text)
	response, err := client.Do(r)
	if err != nil {
		return 0, answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, answer{}, err
	}
	return response.StatusCode, got, json.Unmarshal(body, &got)
}

// flood sends tokens with ids of keys that there are not. They wait, so each has its own
// connection.
func (w *world) flood(ctx context.Context, client *http.Client) {
	forger := verifytest.NewSigner(verify.EdDSA, "")
	var all sync.WaitGroup
	defer all.Wait()
	n := 0
	every(ctx, time.Second/flood, func() {
		n++
		header := fmt.Sprintf(`{"alg":"EdDSA","kid":"made-up-%d"}`, n)
		text := forger.Sign(header, verifytest.Claims{"iss": issuer, "aud": audience, "exp": time.Now().Unix() + longest}.JSON())
		all.Go(func() {
			status, got, err := w.ask(ctx, client, text)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				w.fail(err)
			case status != http.StatusUnauthorized || got.Reason != verify.WrongKey:
				w.fail(fmt.Errorf("a made-up id has status %d: %s", status, got.Reason))
			default:
				w.floods.Add(1)
			}
		})
	})
}
