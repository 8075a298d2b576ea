package verifytest

import (
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/ingressauth/ingressauth/verify"
)

// Request returns a request to a handler as it arrives there behind a [verify.Guard] that
// has let p through: [verify.PrincipalFrom] of its context is p. The rest is as in
// [httptest.NewRequest].
func Request(p *verify.Principal, method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, target, body)
	return r.WithContext(verify.WithPrincipal(r.Context(), p))
}
