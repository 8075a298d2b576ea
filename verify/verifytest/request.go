package verifytest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/ingressauth/ingressauth/verify"
)

// NewPrincipal returns the principal of a token with these claims, all of which
// [verify.Principal.Claims] has: those of [Session], or of any issuer, who needs "iss", "aud"
// and "exp".
func NewPrincipal(claims Claims) *verify.Principal {
	issuer, _ := claims["iss"].(string)
	var audiences []string
	switch aud := claims["aud"].(type) {
	case string:
		audiences = []string{aud}
	case []string:
		audiences = aud
	}
	signer := NewSigner(verify.EdDSA, "")
	keys, err := verify.NewKeySet(JWKS(signer.JWK()), nil)
	if err != nil {
		panic(err)
	}
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: issuer, Audiences: audiences, Keys: keys}}})
	if err != nil {
		panic("verifytest: claims: " + err.Error())
	}
	p, err := v.Verify(context.Background(), signer.Token(claims))
	if err != nil {
		panic("verifytest: claims: " + err.Error())
	}
	return p
}

// Request returns a request to a handler as it arrives there behind a [verify.Guard] that
// has let p through: [verify.PrincipalFrom] of its context is a copy of p. The rest is as in
// [httptest.NewRequest].
func Request(p *verify.Principal, method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, target, body)
	return r.WithContext(verify.WithPrincipal(r.Context(), p))
}
