package verify

import (
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
type Verifier struct {
	issuers     []Issuer // checked
	longest     int      // the longest MaxSize
	revocations Revocations
	sessionKeys SessionKeys
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
// nothing around it. Any error is a [*Refusal].
func (v *Verifier) Verify(ctx context.Context, token string) (*Principal, error) {
	p, err := v.believe(ctx, token)
	if err != nil {
		return nil, err
	}
	return v.unlessRevoked(ctx, p)
}

// unlessRevoked returns p, unless it was taken back.
func (v *Verifier) unlessRevoked(ctx context.Context, p *Principal) (*Principal, error) {
	if v.revocations == nil {
		return p, nil
	}
	revoked, err := v.revocations.Revoked(ctx, p)
	switch {
	case err != nil:
		return nil, &Refusal{Reason: RevocationsUnavailable, Issuer: p.Issuer, Err: err}
	case revoked:
		return nil, &Refusal{Reason: Revoked, Issuer: p.Issuer}
	}
	return p, nil
}

// believe does all of Verify that a token itself decides.
func (v *Verifier) believe(ctx context.Context, token string) (*Principal, error) {
	if len(token) > v.longest {
		return nil, &Refusal{Reason: Malformed}
	}
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
	if refusal := i.checkSignature(ctx, &j); refusal != nil {
		return nil, refusal
	}
	aud := lookUp(claims, "aud")
	audience, ok := acceptedIn(aud, i.Audiences)
	if !ok {
		return nil, &Refusal{Reason: WrongAudience, Issuer: i.Issuer}
	}
	p := &Principal{Issuer: i.Issuer, claims: j.payload}
	notBefore, wrong := i.readClaims(p, claims)
	if wrong == "" && i.sessions {
		wrong = i.checkSession(p, aud, audience)
	}
	if wrong != "" {
		return nil, &Refusal{Reason: WrongClaim, Issuer: i.Issuer, claim: wrong}
	}
	if reason := i.checkTimes(p, notBefore, v.now()); reason != "" {
		return nil, &Refusal{Reason: reason, Issuer: i.Issuer}
	}
	return p, nil
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

// checkSignature verifies that the issuer signed j.
func (i *Issuer) checkSignature(ctx context.Context, j *jws) *Refusal {
	if j.header.bringsKey {
		return &Refusal{Reason: WrongKey, Issuer: i.Issuer}
	}
	if !slices.Contains(i.Algorithms, j.header.algorithm) {
		return &Refusal{Reason: WrongAlgorithm, Issuer: i.Issuer}
	}
	k, err := i.Keys.key(ctx, j.header.keyID, j.header.hasKeyID)
	switch {
	case errors.Is(err, errNoKey):
		return &Refusal{Reason: WrongKey, Issuer: i.Issuer}
	case err != nil:
		return &Refusal{Reason: KeysUnavailable, Issuer: i.Issuer, Err: err}
	case k.algorithm != j.header.algorithm:
		return &Refusal{Reason: WrongAlgorithm, Issuer: i.Issuer}
	case !k.verifies(j.signed, j.signature):
		return &Refusal{Reason: WrongSignature, Issuer: i.Issuer}
	}
	return nil
}
