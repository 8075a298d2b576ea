package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a [Verifier] is made of.
type Config struct {
	// Issuers are those that are trusted, one at least. They differ in their Prefix
	// or their Issuer: of one issuer, all Audiences are named in one place.
	Issuers []Issuer
	// Revocations says what was taken back. Nil means that nothing is.
	Revocations Revocations
	// SessionKeys knows session keys. Nil means that they are refused.
	SessionKeys SessionKeys
	// CacheBytes is how much memory verified tokens may take, about, so that each is
	// verified once. One of a session takes two kilobytes or three. 0 means 64 MiB; with
	// a negative one, none is kept.
	CacheBytes int
	// Now is the clock. Nil means [time.Now].
	Now func() time.Time
}

// Revocations says which tokens were taken back before they expired.
type Revocations interface {
	// Revoked reports whether p was taken back. It is asked for every credential
	// that is believed otherwise, on every call and concurrently, so its answer
	// comes from memory. An error says that it does not know, and the credential
	// is refused.
	Revoked(ctx context.Context, p *Principal) (bool, error)
}

// Verifier says who sent a token or a request. It is made by [New], cannot be changed,
// and may be used concurrently.
//
// It keeps verified tokens, so that the second sight of one costs little; concurrent first
// sights cost one verification. What is kept of a token is good until its "exp", and as long
// as its key is in the key set, which is asked every time, as [Revocations] are. Refusals
// are not kept, but for a few that have cost a verification and are no matter of time, for
// ten seconds.
type Verifier struct {
	issuers     []Issuer // checked
	longest     int      // the longest MaxSize
	revocations Revocations
	sessionKeys SessionKeys
	cache       *cache // or nil
	now         func() time.Time
	scratch     sync.Pool // of *scratch
}

// New returns a verifier. It returns an error if an issuer lacks something or has what
// makes no sense, or stands twice.
func New(c Config) (*Verifier, error) {
	if len(c.Issuers) == 0 {
		return nil, errors.New("no issuer is trusted: name one at least")
	}
	v := &Verifier{revocations: c.Revocations, sessionKeys: c.SessionKeys, now: c.Now}
	v.scratch.New = func() any { return &scratch{members: make([]member, 0, 64)} }
	if v.now == nil {
		v.now = time.Now
	}
	if c.CacheBytes >= 0 {
		v.cache = newCache(cmp.Or(c.CacheBytes, defaultCacheBytes))
	}
	for _, given := range c.Issuers {
		i, err := given.checked()
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", given.Issuer, err)
		}
		for _, other := range v.issuers {
			if other.Prefix == i.Prefix && other.Issuer == i.Issuer {
				return nil, fmt.Errorf("issuer %q stands twice with one prefix: put all Audiences into one", i.Issuer)
			}
		}
		v.longest = max(v.longest, i.MaxSize)
		v.issuers = append(v.issuers, i)
	}
	return v, nil
}

// Verify returns who sent a token: the text of a bearer token, with its prefix and
// nothing around it. The principal is shared with the next sights of the token, and not to
// be changed. Any error is a [*Refusal].
func (v *Verifier) Verify(ctx context.Context, token string) (*Principal, error) {
	p, refusal := v.verifyToken(ctx, token)
	if refusal != nil {
		return nil, refusal
	}
	return p, nil
}

func (v *Verifier) verifyToken(ctx context.Context, token string) (*Principal, *Refusal) {
	p, refusal := v.believe(ctx, token)
	if refusal != nil {
		return nil, refusal
	}
	return v.unlessRevoked(ctx, p)
}

// unlessRevoked returns p, unless it was taken back.
func (v *Verifier) unlessRevoked(ctx context.Context, p *Principal) (*Principal, *Refusal) {
	if v.revocations == nil {
		return p, nil
	}
	revoked, err := v.revocations.Revoked(ctx, p)
	switch {
	case err != nil:
		return nil, &Refusal{Reason: RevocationsUnavailable, Issuer: p.Issuer, Err: err}
	case revoked:
		return nil, refusalOf(Revoked, p)
	}
	return p, nil
}

// believe does all of Verify that a token itself decides, or knows it from the last time.
func (v *Verifier) believe(ctx context.Context, token string) (*Principal, *Refusal) {
	if len(token) > v.longest {
		return nil, &Refusal{Reason: Malformed}
	}
	if v.cache == nil {
		e, refusal := v.decide(ctx, token, 0)
		if refusal != nil {
			return nil, refusal
		}
		return &e.principal, nil
	}
	hash := v.cache.hash(token)
	for {
		if e := v.cache.find(token, hash); e != nil {
			holds, ended := e.holdsNow(ctx, v.now())
			if holds {
				if !e.used.Load() { // a store would have all processors fetch it again
					e.used.Store(true)
				}
				return &e.principal, nil
			}
			if ended {
				v.cache.drop(e)
			}
		}
		f, begun := v.cache.board(token)
		if begun {
			v.fly(ctx, f, token, hash)
			return f.principal()
		}
		select {
		case <-f.done:
			if !f.gaveUp {
				return f.principal()
			}
		case <-ctx.Done():
			return nil, &Refusal{Reason: KeysUnavailable, Err: ctx.Err()}
		}
	}
}

// fly verifies a token for all that wait for f.
func (v *Verifier) fly(ctx context.Context, f *flight, token string, hash uint64) {
	defer v.cache.land(token, f)
	// The flight before may just have landed.
	if e := v.cache.find(token, hash); e != nil {
		if holds, _ := e.holdsNow(ctx, v.now()); holds {
			f.found, f.gaveUp = e, false
			return
		}
	}
	f.found, f.refusal = v.decide(ctx, token, hash)
	f.gaveUp = f.refusal != nil && ctx.Err() != nil
	if now := v.now(); f.refusal == nil && nanoseconds(now) < f.found.until { // it may live on by the leeway
		v.cache.add(f.found, token, hash, now)
	}
}

func (f *flight) principal() (*Principal, *Refusal) {
	if f.refusal != nil {
		refusal := *f.refusal // each has its own
		return nil, &refusal
	}
	return &f.found.principal, nil
}

// decide does what believe does, of a token that is not known. The hash is the cache's.
func (v *Verifier) decide(ctx context.Context, token string, hash uint64) (*verified, *Refusal) {
	prefix, ok := v.prefixOf(token)
	if !ok {
		return nil, &Refusal{Reason: WrongPrefix}
	}
	s := v.scratch.Get().(*scratch)
	defer v.forget(s)
	j, ok := parseJWS(token[len(prefix):], s)
	if !ok {
		return nil, &Refusal{Reason: Malformed}
	}
	claims, ok := parseObject(j.payload, s.members[:0], maxOfToken)
	if !ok {
		return nil, &Refusal{Reason: Malformed}
	}
	// Whose token it claims to be says what is demanded of it. Nothing is believed
	// before the signature was verified with that issuer's keys.
	i := v.issuerOf(prefix, claims)
	switch {
	case i == nil:
		return nil, &Refusal{Reason: WrongIssuer}
	case len(token) > i.MaxSize:
		return nil, &Refusal{Reason: Malformed, Issuer: i.Issuer}
	}
	k, refusal := i.keyOf(ctx, &j.header)
	if refusal != nil {
		return nil, refusal
	}
	now := v.now() // what comes before can have waited for keys
	if v.cache != nil {
		if refusal := v.cache.recall(hash, k, now); refusal != nil {
			return nil, refusal
		}
	}
	e, refusal := i.judge(&j, claims, k, now)
	if refusal != nil && v.cache != nil {
		v.cache.remember(hash, k, refusal, now)
	}
	return e, refusal
}

// judge verifies the signature of a token, and then whether its claims are what its issuer
// demands.
func (i *Issuer) judge(j *jws, claims []member, k *key, now time.Time) (*verified, *Refusal) {
	if !k.verifies(j.signed, j.signature) {
		return nil, &Refusal{Reason: WrongSignature, Issuer: i.Issuer}
	}
	aud := lookUp(claims, "aud")
	audience, ok := acceptedIn(aud, i.Audiences)
	if !ok {
		return nil, &Refusal{Reason: WrongAudience, Issuer: i.Issuer}
	}
	e := &verified{issuer: i, key: k, hasKeyID: j.header.hasKeyID, principal: Principal{Issuer: i.Issuer, claims: j.payload}}
	p := &e.principal
	notBefore, wrong := i.readClaims(p, claims)
	if wrong == "" && i.sessions {
		wrong = i.checkSession(p, aud, audience)
	}
	if wrong != "" {
		return nil, &Refusal{Reason: WrongClaim, Issuer: i.Issuer, claim: wrong}
	}
	if reason := i.checkTimes(p, notBefore, now); reason != "" {
		return nil, &Refusal{Reason: reason, Issuer: i.Issuer}
	}
	e.from, e.until = nanoseconds(i.goodFrom(p, notBefore)), nanoseconds(p.ExpiresAt)
	return e, nil
}

// forget keeps the room in s for another token, and nothing of this one.
func (v *Verifier) forget(s *scratch) {
	clear(s.bytes[:2*len(s.bytes)])
	clear(s.members[:cap(s.members)])
	v.scratch.Put(s)
}

// prefixOf returns the longest of the issuers' prefixes that a token begins with.
func (v *Verifier) prefixOf(token string) (prefix string, ok bool) {
	for i := range v.issuers {
		if p := v.issuers[i].Prefix; len(p) >= len(prefix) && strings.HasPrefix(token, p) {
			prefix, ok = p, true
		}
	}
	return prefix, ok
}

// issuerOf returns the issuer with this prefix that claims name, or nil.
func (v *Verifier) issuerOf(prefix string, claims []member) *Issuer {
	iss, ok := lookUp(claims, "iss").str()
	if !ok {
		return nil
	}
	for n := range v.issuers {
		if i := &v.issuers[n]; i.Prefix == prefix && i.Issuer == iss {
			return i
		}
	}
	return nil
}

// keyOf returns the key that a token with this header must be signed with.
func (i *Issuer) keyOf(ctx context.Context, h *header) (*key, *Refusal) {
	if h.bringsKey {
		return nil, &Refusal{Reason: WrongKey, Issuer: i.Issuer}
	}
	if !slices.Contains(i.Algorithms, h.algorithm) {
		return nil, &Refusal{Reason: WrongAlgorithm, Issuer: i.Issuer}
	}
	k, err := i.Keys.key(ctx, h.keyID, h.hasKeyID)
	switch {
	case errors.Is(err, errNoKey):
		return nil, &Refusal{Reason: WrongKey, Issuer: i.Issuer}
	case err != nil:
		return nil, &Refusal{Reason: KeysUnavailable, Issuer: i.Issuer, Err: err}
	case k.algorithm != h.algorithm:
		return nil, &Refusal{Reason: WrongAlgorithm, Issuer: i.Issuer}
	}
	return k, nil
}
