package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Guard decides who may pass, for a service's handlers: who is believed and, as its policy
// says, may do what they ask for. It may be used concurrently, and is not to be changed
// once it is used.
//
// A credential that a browser sends by itself, the cookie of a session key, is not enough
// for what another site may have made the browser ask for. So with one, a request other than
// GET, HEAD and OPTIONS, and every upgrade, as to a WebSocket, is refused if it says that it
// comes from elsewhere: by Sec-Fetch-Site, which must be "same-origin" or "none" (another
// host of the same site is elsewhere), and if it is "none" or not there, by Origin, which must
// be this host's, and of https if the request came by TLS.
type Guard struct {
	// Verifier says who sends a request. It is required.
	Verifier *Verifier
	// Policy says whether a principal may do what a request asks for. Nil means that
	// all may who are believed.
	Policy Policy
	// TrustedOrigins are other origins from which requests with a cookie are taken,
	// whatever Sec-Fetch-Site says, as a browser writes them: "https://pages.example", in
	// lower case, and with no slash at the end. (What answers a browser's question
	// whether it may send them, by CORS, stands before the guard, since that question
	// comes without a credential.)
	TrustedOrigins []string
	// OnRefusal is told of every refusal, for logs and metrics, concurrently. Where the
	// client has given up, the refusal wraps the context's error. The request has the
	// credential: its header is not for a log. Nil means nobody is told.
	OnRefusal func(*http.Request, *Refusal)
}

// Handler returns a handler that has next answer those who may pass. [PrincipalFrom] gives
// next the principal.
//
// All others get the status that [Refusal.Status] says, and as a body a problem (RFC 9457)
// of which "reason" is the refusal's. 401 comes with a challenge (RFC 6750, section 3),
// without an error where no credential came, and 503 with Retry-After. No cache may keep
// them.
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
// Handler asks, for who speaks another protocol: it reads the method, the host, the header,
// TLS and the context of r, and Policy whatever else it likes. The principal is shared, and
// not to be changed.
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
	p, refusal := g.Verifier.verify(r.Context(), c)
	if refusal != nil {
		return nil, refusal
	}
	if g.Policy != nil && !g.Policy(p, r) {
		return nil, refusalOf(Forbidden, p)
	}
	return p, nil
}

// isForged reports whether a browser may have been made to send r by another site.
func (g *Guard) isForged(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		// What comes over a WebSocket does what it likes, though GET opens it, and its
		// answers can be read.
		if len(r.Header["Upgrade"]) == 0 {
			return false
		}
	}
	sites, origins := r.Header["Sec-Fetch-Site"], r.Header["Origin"]
	switch {
	case len(sites) > 1, len(origins) > 1: // no browser
		return true
	case len(origins) == 1 && slices.Contains(g.TrustedOrigins, origins[0]):
		return false
	case len(sites) == 1 && sites[0] != "none":
		// It is right where a proxy has changed Host, and Origin seems to be elsewhere.
		return sites[0] != "same-origin"
	case len(origins) == 1:
		return !isOriginOf(origins[0], r)
	}
	return false // it is not a browser, or nobody made it
}

// isOriginOf reports whether an origin is the one that r was sent to.
func isOriginOf(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) { // "null" has no host
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && r.TLS == nil // else who answers for http is another
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
// unavailable. Keys are mostly fetched again within seconds.
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
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name) // which somebody before us has set for another body
	}
	h.Set("Cache-Control", "no-store")
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

// principalContext is a context with a principal.
type principalContext struct {
	context.Context
	principal Principal
}

// String keeps fmt from printing the principal.
func (c *principalContext) String() string { return fmt.Sprintf("%v.WithPrincipal", c.Context) }

func (c *principalContext) Value(key any) any {
	if key == (principalKey{}) {
		return &c.principal
	}
	return c.Context.Value(key)
}

// WithPrincipal returns a context that has a copy of p, as the handlers behind a [Guard] get
// one.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return &principalContext{ctx, *p}
}

// PrincipalFrom returns who sent the request that a context is of, if a [Guard] has let it
// through. It is this request's own.
func PrincipalFrom(ctx context.Context) (p *Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(*Principal)
	return p, ok
}
