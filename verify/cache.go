package verify

import (
	"context"
	"errors"
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultCacheBytes = 64 << 20
	// cacheHead is as much of a token as stands beside what is known of it, so that a
	// verified takes 896 bytes, which is a size that is allocated.
	cacheHead = 568
	// cacheOverhead is about what a token takes beside its claims and what does not stand
	// there.
	cacheOverhead = 1 << 10
	// maxBuckets bounds what a cache takes that is empty: 32 MiB.
	maxBuckets = 1 << 22
	// refusedFor is how long a refusal is remembered, and refusedSlots how many are.
	refusedFor   = 10 * time.Second
	refusedSlots = 256
)

// verified is a token that was believed, and what must hold for that to be so again. All
// but next, used and index never changes once others see it.
//
// With many tokens, each of these is far away in memory. So all that finding one reads is in
// one place, and where is known as soon as that place is: the processor need not wait for
// one to get the other.
type verified struct {
	hash        uint64
	next        atomic.Pointer[verified] // of the same bucket
	length      int                      // of the token, which is head and tail
	size        int                      // in bytes, as the cache counts
	from, until int64                    // when it is good, in nanoseconds since the Unix epoch by the verifier's clock
	issuer      *Issuer
	key         *key
	hasKeyID    bool
	used        atomic.Bool // since it was last looked at for room
	index       int         // in cache.all
	tail        string
	principal   Principal
	head        [cacheHead]byte
}

// is reports whether e is of this token.
func (e *verified) is(token string) bool {
	n := min(len(token), cacheHead)
	return e.length == len(token) && string(e.head[:n]) == token[:n] && e.tail == token[n:]
}

// sizeOf is about how many bytes e takes with this token.
func sizeOf(e *verified, token string) int {
	n := cacheOverhead + max(0, len(token)-cacheHead) + len(e.principal.claims)
	if strings.IndexByte(e.principal.claims, '\\') >= 0 {
		n += len(e.principal.claims) // strings with escapes are copies
	}
	return n
}

// holdsNow reports whether a token that was believed is still good at this time, and its
// key still the one that the issuer has for it. If not, it says whether it never will be.
func (e *verified) holdsNow(ctx context.Context, now time.Time) (holds, ended bool) {
	if n := nanoseconds(now); n < e.from || n >= e.until {
		return false, n >= e.until
	}
	id := ""
	if e.hasKeyID {
		id = e.key.id
	}
	k, err := e.issuer.Keys.known(ctx, id, e.hasKeyID)
	return err == nil && k == e.key, err == nil || errors.Is(err, errNoKey)
}

// cache keeps verified tokens. Finding one takes no lock and never waits for who adds one.
//
// What a token is found by is its hash, under a seed of this cache, and then its whole
// text. It is bounded in bytes, as they are counted, and so in tokens; what makes room is
// what has ended, and then what was not used for longest, about (CLOCK).
type cache struct {
	seed     maphash.Seed
	buckets  []atomic.Pointer[verified] // as many as a power of two
	maxBytes int
	refused  [refusedSlots]atomic.Pointer[refused]

	mu      sync.Mutex // held to change buckets and what they lead to
	all     []*verified
	bytes   int
	hand    int // where in all to look for room
	sweep   int // where in all to look for what has ended
	flights map[string]*flight
}

// flight is the verification of a token that several may wait for.
type flight struct {
	done    chan struct{} // closed when the rest is known; nil while nobody waits
	found   *verified
	refusal *Refusal
	gaveUp  bool // its caller did, so that nothing is known
}

// refused is a token that was refused.
type refused struct {
	hash    uint64
	key     *key
	refusal Refusal
	at      time.Time
}

func newCache(maxBytes int) *cache {
	n := min(max(1, maxBytes/cacheOverhead), maxBuckets)
	return &cache{
		seed: maphash.MakeSeed(), buckets: make([]atomic.Pointer[verified], 1<<bits.Len(uint(n-1))),
		maxBytes: maxBytes, flights: make(map[string]*flight),
	}
}

func (c *cache) hash(token string) uint64 { return maphash.String(c.seed, token) }

func (c *cache) bucket(hash uint64) *atomic.Pointer[verified] {
	return &c.buckets[hash&uint64(len(c.buckets)-1)]
}

// find returns what is known of a token, whether it still holds or not, or nil.
func (c *cache) find(token string, hash uint64) *verified {
	for e := c.bucket(hash).Load(); e != nil; e = e.next.Load() {
		if e.hash == hash && e.is(token) {
			return e
		}
	}
	return nil
}

// add keeps e, which is of this token, in place of what is known of it.
func (c *cache) add(e *verified, token string, hash uint64, now time.Time) {
	e.hash, e.length, e.size = hash, len(token), sizeOf(e, token)
	if e.size > c.maxBytes {
		return
	}
	e.tail = strings.Clone(token[copy(e.head[:], token):]) // the token may be part of something longer
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.find(token, hash); old != nil {
		c.remove(old)
	}
	// Two for each that comes, so that all are seen before their number has doubled.
	for range 2 {
		if c.sweep >= len(c.all) {
			c.sweep = 0
		}
		if len(c.all) > 0 && nanoseconds(now) >= c.all[c.sweep].until {
			c.remove(c.all[c.sweep])
		} else {
			c.sweep++
		}
	}
	for passed := 0; c.bytes+e.size > c.maxBytes; passed++ {
		if c.hand >= len(c.all) {
			c.hand = 0
		}
		oldest := c.all[c.hand]
		c.hand++ // also past the newest, which takes the place of what is removed
		if !oldest.used.Swap(false) || nanoseconds(now) >= oldest.until || passed > len(c.all) {
			c.remove(oldest)
		}
	}
	b := c.bucket(hash)
	e.next.Store(b.Load())
	b.Store(e)
	e.index = len(c.all)
	c.all = append(c.all, e)
	c.bytes += e.size
}

// drop removes e, if it is still there.
func (c *cache) drop(e *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.index < len(c.all) && c.all[e.index] == e {
		c.remove(e)
	}
}

// remove removes e, which is there. Who has found it may go on from it.
func (c *cache) remove(e *verified) {
	at := c.bucket(e.hash)
	for at.Load() != e {
		at = &at.Load().next
	}
	at.Store(e.next.Load())
	last := len(c.all) - 1
	c.all[e.index] = c.all[last]
	c.all[e.index].index = e.index
	c.all[last] = nil
	c.all = c.all[:last]
	c.bytes -= e.size
}

// board returns the verification of a token that is under way, to wait for, or else begins
// one, which the caller has to land.
func (c *cache) board(token string) (f *flight, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.flights[token]; f != nil {
		if f.done == nil {
			f.done = make(chan struct{})
		}
		return f, false
	}
	f = &flight{gaveUp: true} // until it is known
	c.flights[token] = f
	return f, true
}

func (c *cache) land(token string, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, token)
	if f.done != nil {
		close(f.done)
	}
}

// remember keeps in mind for a moment that a token was refused, if that is not a matter
// of time.
func (c *cache) remember(hash uint64, k *key, r *Refusal, now time.Time) {
	if r.Reason != NotYetValid && r.Reason != TooLongLived {
		c.refused[hash%refusedSlots].Store(&refused{hash, k, *r, now})
	}
}

// recall returns the refusal of a token with this hash and key, if it was a moment ago.
// Where another token has the same hash of 64 bits, it is refused for it, for that moment.
func (c *cache) recall(hash uint64, k *key, now time.Time) *Refusal {
	r := c.refused[hash%refusedSlots].Load()
	if r == nil || r.hash != hash || r.key != k || now.Before(r.at) || now.Sub(r.at) >= refusedFor {
		return nil
	}
	refusal := r.refusal
	return &refusal
}
