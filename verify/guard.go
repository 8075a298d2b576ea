package verify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// Guard decides who may pass, for a service's handlers: who is believed and, as its policy
// says, may do what they ask for. It may be used concurrently, and is not to be changed
// once it is used.
//
// A credential that a browser sends by itself, the cookie of a session key, is not enough
// for what another site may have made the browser ask for. So with one, a request that is
// unsafe (RFC 9110, section 9.2.1) or an upgrade, as to a WebSocket, is refused if its
// Sec-Fetch-Site or, if it has none, its Origin says that it is not from here, as
// [http.CrossOriginProtection] has it: also if it is from another host of the same site.
type Guard struct {
	// Verifier says who sends a request. It is required.
	Verifier *Verifier
	// Policy says whether a principal may do what a request asks for. Nil means that
	// all may who are believed.
	Policy Policy
	// CrossOrigin says from which other origins requests with a cookie are taken. Nil
	// means none. Its deny handler is not used.
	CrossOrigin *http.CrossOriginProtection
	// OnRefusal is told of every refusal, for logs and metrics, concurrently. What it
	// gets is not to be changed. Nil means nobody is.
	OnRefusal func(*http.Request, *Refusal)
}

// Handler returns a handler that has next answer those who may pass. [PrincipalFrom] gives
// next the principal.
//
// All others get the status that [Refusal.Status] says, and as a body a problem (RFC 9457)
// of which "reason" is the refusal's. 401 comes with a challenge (RFC 6750, section 3),
// without an error where no credential came, and 503 with Retry-After.
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, refusal := g.Decide(r)
		if refusal != nil {
			refusal.answer(w)
			return
		}
		next.ServeHTTP(w, r.WithContext(WithPrincipal(r.Context(), p)))
	})
}

// Decide returns who sent a request, or why it is refused, and tells OnRefusal. It is what
// Handler asks, for who speaks another protocol: it reads the method, the host, the header
// and the context of r, and Policy whatever else it likes.
func (g *Guard) Decide(r *http.Request) (*Principal, *Refusal) {
	p, refusal := g.decide(r)
	if refusal != nil && g.OnRefusal != nil {
		g.OnRefusal(r, refusal)
	}
	return p, refusal
}

func (g *Guard) decide(r *http.Request) (*Principal, *Refusal) {
	if g.Verifier == nil {
		return nil, &Refusal{Reason: KeysUnavailable, Err: errors.New("the Guard has no Verifier")}
	}
	c, refusal := credentialOf(r.Header)
	if refusal != nil {
		return nil, refusal
	}
	if c.sessionKey != "" && g.isForged(r) {
		return nil, &Refusal{Reason: CrossSite}
	}
	p, err := g.Verifier.verify(r.Context(), c)
	if err != nil {
		return nil, asRefusal(err)
	}
	if g.Policy != nil && !g.Policy(p, r) {
		return nil, &Refusal{Reason: Forbidden, Issuer: p.Issuer, Principal: p}
	}
	return p, nil
}

// isForged reports whether a browser may have been made to send r by another site.
func (g *Guard) isForged(r *http.Request) bool {
	protection := g.CrossOrigin
	if protection == nil {
		protection = new(http.CrossOriginProtection)
	}
	if len(r.Header["Upgrade"]) > 0 {
		// What comes over a WebSocket does what it likes, though GET opens it, and its
		// answers can be read.
		r = r.WithContext(r.Context())
		r.Method = http.MethodPost
	}
	return protection.Check(r) != nil
}

// Status returns the status of an answer to who is refused (RFC 9110, section 15): 403 for
// [Forbidden] and [CrossSite], 503 for [KeysUnavailable] and [RevocationsUnavailable], and
// 401 for all other reasons.
func (r *Refusal) Status() int {
	switch r.Reason {
	case Forbidden, CrossSite:
		return http.StatusForbidden
	case KeysUnavailable, RevocationsUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}

// retryAfterSeconds is when somebody may come again who was refused for what is
// unavailable: keys are fetched again within seconds, if somebody asks for them.
const retryAfterSeconds = "5"

// answer tells who is refused as much as is theirs to know.
func (r *Refusal) answer(w http.ResponseWriter) {
	status := r.Status()
	body, err := json.Marshal(struct {
		Status int    `json:"status"`
		Title  string `json:"title"`
		Reason Reason `json:"reason"`
	}{status, http.StatusText(status), r.Reason})
	if err != nil {
		panic(err) // a number and two strings
	}
	h := w.Header()
	switch {
	case r.Reason == NoCredential:
		h.Set("WWW-Authenticate", `Bearer realm="session"`) // a challenge has some parameter
	case status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	case status == http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfterSeconds)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // to whom it may not reach, there is nothing else to say
}

// principalKey is the key of a principal in a context.
type principalKey struct{}

// WithPrincipal returns a context that has p, as the handlers behind a [Guard] get one.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns who sent the request that a context is of, if a [Guard] has let it
// through.
func PrincipalFrom(ctx context.Context) (p *Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(*Principal)
	return p, ok && p != nil
}
