package interop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
)

// What all verifiers in these tests demand of a token.
const (
	issuer   = "https://issuer.example"
	audience = "service"
	leeway   = time.Minute
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// library verifies tokens with the keys of signers, each with its own algorithm.
type library struct {
	name string
	// verify returns the subject and the expiry of a token that it accepts.
	verify func(token string) (subject string, expires time.Time, err error)
}

var algorithms = []verify.Algorithm{verify.ES256, verify.EdDSA, verify.RS256}

// newSigners returns a key of each algorithm, with that as its id.
func newSigners() map[verify.Algorithm]*verifytest.Signer {
	m := make(map[verify.Algorithm]*verifytest.Signer)
	for _, a := range algorithms {
		m[a] = verifytest.NewSigner(a, string(a))
	}
	return m
}

var errNoKey = errors.New("no such key")

func ours(t testing.TB, signers map[verify.Algorithm]*verifytest.Signer) *verify.Verifier {
	t.Helper()
	set, err := verify.NewKeySet(publicKeys(signers), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{Issuer: issuer, Audiences: []string{audience}, Keys: set}},
		Now:     func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func publicKeys(signers map[verify.Algorithm]*verifytest.Signer) []byte {
	var keys []verifytest.Claims
	for _, a := range algorithms {
		keys = append(keys, signers[a].JWK())
	}
	return verifytest.JWKS(keys...)
}

// libraries are those that the verdicts are held to.
func libraries(t testing.TB, signers map[verify.Algorithm]*verifytest.Signer) []library {
	t.Helper()
	return []library{golangJWT(signers), goJOSE(signers), jwx(t, signers)}
}

func golangJWT(signers map[verify.Algorithm]*verifytest.Signer) library {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "EdDSA", "RS256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(func() time.Time { return now }))
	keyOf := func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		s := signers[verify.Algorithm(kid)]
		if s == nil || token.Method.Alg() != string(s.Algorithm) {
			return nil, errNoKey
		}
		return s.Key.Public(), nil
	}
	return library{"golang-jwt", func(token string) (string, time.Time, error) {
		var c jwt.RegisteredClaims
		if _, err := parser.ParseWithClaims(token, &c, keyOf); err != nil {
			return "", time.Time{}, err
		}
		return c.Subject, c.ExpiresAt.Time, nil
	}}
}

func goJOSE(signers map[verify.Algorithm]*verifytest.Signer) library {
	return library{"go-jose", func(token string) (string, time.Time, error) {
		parsed, err := josejwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256})
		if err != nil {
			return "", time.Time{}, err
		}
		s := signers[verify.Algorithm(parsed.Headers[0].KeyID)]
		if s == nil || parsed.Headers[0].Algorithm != string(s.Algorithm) {
			return "", time.Time{}, errNoKey
		}
		var c josejwt.Claims
		if err := parsed.Claims(s.Key.Public(), &c); err != nil {
			return "", time.Time{}, err
		}
		if c.Expiry == nil { // it has no option to demand one
			return "", time.Time{}, errors.New("no exp")
		}
		return c.Subject, c.Expiry.Time(), c.ValidateWithLeeway(josejwt.Expected{Issuer: issuer, AnyAudience: josejwt.Audience{audience}, Time: now}, leeway)
	}}
}

func jwx(t testing.TB, signers map[verify.Algorithm]*verifytest.Signer) library {
	t.Helper()
	set, err := jwk.Parse(publicKeys(signers))
	if err != nil {
		t.Fatal(err)
	}
	options := []jwxjwt.ParseOption{
		jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(issuer), jwxjwt.WithAudience(audience), jwxjwt.WithRequiredClaim("exp"),
		jwxjwt.WithAcceptableSkew(leeway), jwxjwt.WithClock(jwxjwt.ClockFunc(func() time.Time { return now })),
	}
	return library{"jwx", func(token string) (string, time.Time, error) {
		parsed, err := jwxjwt.Parse([]byte(token), options...)
		if err != nil {
			return "", time.Time{}, err
		}
		subject, _ := parsed.Subject()
		expires, _ := parsed.Expiration()
		return subject, expires, nil
	}}
}

// TestLibrariesAgree has all accept what is plainly good, and refuse what is plainly
// not, so that a comparison with them says something.
func TestLibrariesAgree(t *testing.T) {
	signers := newSigners()
	v, all := ours(t, signers), libraries(t, signers)
	good := verifytest.Claims{"iss": issuer, "aud": audience, "sub": "someone", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for alg, s := range signers {
		for _, tt := range []struct {
			name  string
			token string
			ok    bool
		}{
			{"good", s.Token(good), true},
			{"an array of audiences", s.Token(good.With("aud", []string{"x", audience})), true},
			{"another issuer", s.Token(good.With("iss", "x")), false},
			{"another audience", s.Token(good.With("aud", "x")), false},
			{"no exp", s.Token(good.With("exp", nil)), false},
			{"expired", s.Token(good.With("exp", now.Add(-time.Hour).Unix())), false},
			{"to come", s.Token(good.With("nbf", now.Add(time.Hour).Unix())), false},
			{"another key", verifytest.NewSigner(alg, s.KeyID).Token(good), false},
		} {
			if _, err := v.Verify(context.Background(), tt.token); (err == nil) != tt.ok {
				t.Errorf("%s, %s: %v", alg, tt.name, err)
			}
			for _, l := range all {
				if _, _, err := l.verify(tt.token); (err == nil) != tt.ok {
					t.Errorf("%s, %s, %s: %v", alg, tt.name, l.name, err)
				}
			}
		}
	}
}
