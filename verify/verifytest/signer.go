package verifytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"time"

	"github.com/ingressauth/ingressauth/internal/jws"
	"github.com/ingressauth/ingressauth/verify"
)

// Claims are the claims of a JWT, or the members of a JWK.
type Claims map[string]any

// With returns c with another value of one claim; nil takes the claim away.
func (c Claims) With(name string, value any) Claims {
	c = maps.Clone(c)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

// JSON returns c as JSON, its names in order.
func (c Claims) JSON() string { return string(mustJSON(c)) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Session returns the claims of a token that a session in a self-hosted environment
// gets at this time. It ends after four hours.
func Session(environment string, issued time.Time) Claims {
	return Claims{
		"iss": "ccr", "aud": []string{environment, "anthropic-api"}, "sub": "ccr:session:session_1",
		"iat": issued.Unix(), "exp": issued.Add(4 * time.Hour).Unix(), "jti": "token-1",
		"ccr:role": "session_worker", "ccr:session_id": "session_1", "ccr:pool_id": environment,
		"ccr:org_id": "org-1", "ccr:account_id": "account-1",
		"act": Claims{"sub": "user:user_1", "email": "someone@example.com",
			"act": Claims{"sub": "ccr:runner:runner_1", "act": Claims{"sub": "ccr:pool:" + environment}}},
	}
}

// Signer is an issuer's private key.
type Signer struct {
	KeyID     string // the "kid" of its key and of its tokens
	Algorithm verify.Algorithm
	Key       crypto.Signer
}

// NewSigner makes a key for this algorithm, of RSA one of 2048 bits, which takes a while.
func NewSigner(algorithm verify.Algorithm, keyID string) *Signer {
	s := &Signer{KeyID: keyID, Algorithm: algorithm}
	var err error
	switch algorithm {
	case verify.ES256:
		s.Key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case verify.EdDSA:
		_, s.Key, err = ed25519.GenerateKey(rand.Reader)
	case verify.RS256:
		s.Key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("no such algorithm: %q", algorithm)
	}
	if err != nil {
		panic(err)
	}
	return s
}

// Signature returns the signature over signed, as a JWS has it.
func (s *Signer) Signature(signed string) []byte {
	sig, err := jws.Signature(s.Key, signed)
	if err != nil {
		panic(err)
	}
	return sig
}

// Sign returns a JWS of these texts, whatever they are: also one that is to be refused.
func (s *Signer) Sign(header, payload string) string {
	token, err := jws.Sign(s.Key, header, payload)
	if err != nil {
		panic(err)
	}
	return token
}

// Header returns the header of s's tokens.
func (s *Signer) Header() string {
	return fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":%q}`, s.Algorithm, s.KeyID)
}

// Token returns a JWT of these claims. A token's prefix is the caller's to put before it.
func (s *Signer) Token(c Claims) string { return s.Sign(s.Header(), c.JSON()) }

// JWK returns the public key, with these members beside or in place of its own; nil
// takes one away.
func (s *Signer) JWK(changes ...Claims) Claims {
	k := Claims{"kid": s.KeyID, "use": "sig", "alg": string(s.Algorithm)}
	switch pub := s.Key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			panic(err)
		}
		k["kty"], k["crv"], k["x"], k["y"] = "EC", "P-256", base64url(point[1:33]), base64url(point[33:])
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", base64url(pub)
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", base64url(pub.N.Bytes()), base64url(big.NewInt(int64(pub.E)).Bytes())
	}
	for _, c := range changes {
		maps.Copy(k, c)
	}
	maps.DeleteFunc(k, func(_ string, v any) bool { return v == nil })
	return k
}

// JWKS returns a key set of these keys, as JSON.
func JWKS(keys ...Claims) []byte {
	if keys == nil {
		keys = []Claims{}
	}
	return mustJSON(map[string]any{"keys": keys})
}

// base64url encodes b as a JWS does (RFC 7515, section 2).
func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
