package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
	"github.com/maypok86/otter/v2"
)

// hand is how many tokens are presented between two readings of the clock.
const hand = 256

// keeping measures the verification of tokens that were verified before, beside a general
// cache that finds them by their SHA-256, which keeps no more than the expiry.
//
// A token that a server has just read is in the processor's cache. So tokens are copied
// there before each measurement, and what is measured takes them from there in turn. Which
// they are is random, so that nothing else is there.
func keeping(n int) (*budget, error) {
	s := verifytest.NewSigner(verify.EdDSA, "key-1")
	keys, err := verify.NewKeySet(verifytest.JWKS(s.JWK()), nil)
	if err != nil {
		return nil, err
	}
	v, err := verify.New(verify.Config{
		Issuers:    []verify.Issuer{{Issuer: benchIssuer, Audiences: []string{benchAudience}, Keys: keys}},
		CacheBytes: 256 << 20,
	})
	if err != nil {
		return nil, err
	}
	type entry struct {
		subject string
		expires int64
	}
	other := otter.Must(&otter.Options[[sha256.Size]byte, entry]{MaximumSize: 200_000})
	ctx, now := context.Background(), time.Now()
	tokens := make([]string, n)
	for i := range tokens {
		subject := fmt.Sprintf("user-%06d", i)
		c := benchClaims(now).With("sub", subject)
		tokens[i] = s.Token(c)
		if _, err := v.Verify(ctx, tokens[i]); err != nil {
			return nil, err
		}
		other.Set(sha256.Sum256([]byte(tokens[i])), entry{subject, now.Add(time.Hour).Unix()})
	}
	var presented [hand]string
	next := 0
	take := func() string {
		next = (next + 1) % hand
		return presented[next]
	}
	many := "100,000 tokens"
	if n == 1 {
		many = "one token"
	}
	return &budget{
		what: "verify again, " + many, against: "otter by SHA-256",
		prepare: func() {
			for i := range presented {
				presented[i] = strings.Clone(tokens[rand.IntN(n)])
			}
		},
		do: func() {
			p, err := v.Verify(ctx, take())
			if err != nil {
				panic(err)
			}
			sinkString = p.Subject
		},
		reference: func() {
			e, ok := other.GetIfPresent(sha256.Sum256([]byte(take())))
			if !ok || e.expires <= time.Now().Unix() {
				panic("a token was lost")
			}
			sinkString = e.subject
		},
		nanoseconds: 300, batch: hand,
	}, nil
}
