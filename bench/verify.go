package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
	"github.com/lestrrat-go/jwx/v3/jwa"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
)

const (
	benchIssuer      = "https://issuer.example"
	benchAudience    = "service"
	benchEnvironment = "ccpool_0123456789ABCDEFGHIJKLMN"
)

// benchClaims are those of a short token, for a user of a web site.
func benchClaims(now time.Time) verifytest.Claims {
	return verifytest.Claims{"iss": benchIssuer, "aud": benchAudience, "sub": "user-123456", "sid": "session-abcdef0123456789",
		"email": "user@service.example", "email_verified": true, "iat": now.Unix(), "exp": now.Add(23 * time.Hour).Unix()}
}

// verifying measures the verification of tokens that no verifier has seen, beside that
// of their signature alone, and three libraries beside the same.
func verifying() ([]budget, error) {
	var cases []budget
	now := time.Now()
	claims := benchClaims(now)
	for _, algorithm := range []verify.Algorithm{verify.ES256, verify.EdDSA, verify.RS256} {
		s := verifytest.NewSigner(algorithm, "key-1")
		token := s.Token(claims)
		raw, err := rawCheck(s, token)
		if err != nil {
			return nil, err
		}
		i := verify.Issuer{Issuer: benchIssuer, Audiences: []string{benchAudience}, Algorithms: []verify.Algorithm{algorithm}}
		ours, err := ourVerifier(i, s)
		if err != nil {
			return nil, err
		}
		cases = append(cases, budget{
			what: "verify a short token, " + string(algorithm), against: raw.name, do: verifies(ours, token), reference: raw.do,
			ratio: 1.08, allocations: 12, batch: 10, more: true,
		})
		for _, l := range []struct {
			name   string
			verify func(string) error
		}{
			{"golang-jwt", golangJWT(s)}, {"go-jose", goJOSE(s)}, {"jwx", jwx(s)},
		} {
			cases = append(cases, budget{what: "the same by " + l.name, against: raw.name, do: verifies(l.verify, token), reference: raw.do, batch: 10, more: true})
		}
	}
	s := verifytest.NewSigner(verify.ES256, "key-1")
	i, err := verify.ClaudeCode(benchEnvironment)
	if err != nil {
		return nil, err
	}
	ours, err := ourVerifier(i, s)
	if err != nil {
		return nil, err
	}
	// As long as real ones: identifiers are of 24 characters and more.
	session := verifytest.Session(benchEnvironment, now)
	for _, name := range []string{"jti", "ccr:session_id", "ccr:org_id", "ccr:account_id"} {
		session = session.With(name, "0123456789-0123456789-0123456789-0123")
	}
	token := s.Token(session.With("sub", "ccr:session:0123456789-0123456789-0123456789-0123"))
	raw, err := rawCheck(s, token)
	if err != nil {
		return nil, err
	}
	return append(cases, budget{
		what: "verify a self-hosted session's token, ES256", against: raw.name, do: verifies(ours, i.Prefix+token), reference: raw.do,
		ratio: 1.08, allocations: 12, batch: 10, more: true,
	}), nil
}

// verifies returns what is measured. It panics where a good token is refused.
func verifies(verify func(token string) error, token string) func() {
	return func() {
		if err := verify(token); err != nil {
			panic(err)
		}
	}
}

func ourVerifier(i verify.Issuer, s *verifytest.Signer) (func(string) error, error) {
	var err error
	if i.Keys, err = verify.NewKeySet(verifytest.JWKS(s.JWK()), nil); err != nil {
		return nil, err
	}
	// With a cache in which nothing has room, so that each sight of a token is like the first.
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{i}, CacheBytes: 1})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return func(token string) error {
		_, err := v.Verify(ctx, token)
		return err
	}, nil
}

// check is the verification of one signature, of which all but that is done before.
type check struct {
	name string
	do   func()
}

func rawCheck(s *verifytest.Signer, token string) (check, error) {
	end := strings.LastIndexByte(token, '.')
	signed := []byte(token[:end])
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	if err != nil {
		return check{}, err
	}
	digest := sha256.Sum256(signed)
	must := func(ok bool) {
		if !ok {
			panic("a good signature is refused")
		}
	}
	switch key := s.Key.Public().(type) {
	case ed25519.PublicKey:
		return check{"`ed25519.Verify`", func() { must(ed25519.Verify(key, signed, signature)) }}, nil
	case *rsa.PublicKey:
		return check{"`rsa.VerifyPKCS1v15`", func() { must(rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil) }}, nil
	case *ecdsa.PublicKey:
		der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
		return check{"`ecdsa.VerifyASN1`", func() { must(ecdsa.VerifyASN1(key, digest[:], der)) }}, err
	}
	return check{}, fmt.Errorf("no such key: %T", s.Key)
}

func golangJWT(s *verifytest.Signer) func(string) error {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{string(s.Algorithm)}), jwt.WithIssuer(benchIssuer), jwt.WithAudience(benchAudience), jwt.WithExpirationRequired())
	public := s.Key.Public()
	keyOf := func(*jwt.Token) (any, error) { return public, nil }
	return func(token string) error {
		var c jwt.RegisteredClaims
		_, err := parser.ParseWithClaims(token, &c, keyOf)
		return err
	}
}

func goJOSE(s *verifytest.Signer) func(string) error {
	algorithms := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.Algorithm)}
	public := s.Key.Public()
	expected := josejwt.Expected{Issuer: benchIssuer, AnyAudience: josejwt.Audience{benchAudience}}
	return func(token string) error {
		parsed, err := josejwt.ParseSigned(token, algorithms)
		if err != nil {
			return err
		}
		var c josejwt.Claims
		if err := parsed.Claims(public, &c); err != nil {
			return err
		}
		return c.Validate(expected)
	}
}

func jwx(s *verifytest.Signer) func(string) error {
	algorithm, ok := jwa.LookupSignatureAlgorithm(string(s.Algorithm))
	if !ok {
		panic(s.Algorithm)
	}
	options := []jwxjwt.ParseOption{jwxjwt.WithKey(algorithm, s.Key.Public()), jwxjwt.WithIssuer(benchIssuer), jwxjwt.WithAudience(benchAudience)}
	return func(token string) error {
		_, err := jwxjwt.Parse([]byte(token), options...)
		return err
	}
}
