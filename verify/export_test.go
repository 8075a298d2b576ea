package verify

import (
	"context"
	"math"
	"time"
)

// VerifyJWS returns the payload of a JWS that a key of the set signed, whatever it is:
// the half of Verify that vectors without claims are for.
func VerifyJWS(text string, set KeySet) (payload string, err error) {
	j, ok := parseJWS(text, new(scratch))
	if !ok {
		return "", &Refusal{Reason: Malformed}
	}
	i := Issuer{Algorithms: []Algorithm{ES256, EdDSA, RS256}, Keys: set}
	k, refusal := i.keyOf(context.Background(), &j.header)
	if refusal != nil {
		return "", refusal
	}
	if !k.verifies(j.signed, j.signature) {
		return "", &Refusal{Reason: WrongSignature}
	}
	return j.payload, nil
}

// Remembers returns how many ids a key set is to be fetched for, and of how many it is known
// that it does not have them.
func (s *RemoteKeySet) Remembers() (wanted, unknown int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.wanted), len(s.unknown)
}

// CacheCollides reports whether a cache takes one of two tokens for the other, where their
// hashes are the same.
func CacheCollides(one, other string) bool {
	c := newCache(1 << 20)
	c.add(&verified{until: math.MaxInt64}, one, 7, time.Now())
	return c.find(other, 7) != nil || c.find(one, 7) == nil
}

// MarkRefusal gives another reason to the refusal of a token, if a verifier remembers it, so
// that it shows where it is used.
func MarkRefusal(v *Verifier, token string, reason Reason) (remembered bool) {
	slot := &v.cache.refused[v.cache.hash(token)%refusedSlots]
	r := slot.Load()
	if r == nil || r.hash != v.cache.hash(token) {
		return false
	}
	marked := *r
	marked.refusal.Reason = reason
	slot.Store(&marked)
	return true
}
