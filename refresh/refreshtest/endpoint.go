// Package refreshtest is for tests of what gets tokens from a token endpoint: it has one that
// issues them, and fails in the ways that servers fail.
package refreshtest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ingressauth/ingressauth/internal/inprocess"
)

// Endpoint is the token endpoint of an authorization server that knows no clients: it issues a
// token to whoever asks, and remembers how. The zero value is an [http.Handler] that issues
// opaque tokens without an end. It may be used concurrently.
type Endpoint struct {
	// URL and RevocationURL are where a server that [NewEndpoint] returned is.
	URL, RevocationURL string

	server *httptest.Server

	mu       sync.Mutex
	life     time.Duration
	text     func(n int) string
	answer   http.HandlerFunc // in place of a token; nil is none
	resumed  chan struct{}    // closed when it answers as usual again; nil if it does
	requests []Request
	issued   []string
	revoked  []string
}

// Request is one that came.
type Request struct {
	Header http.Header
	Form   url.Values
	// Certificate is the subject of the client's certificate, or "".
	Certificate string
}

// NewEndpoint returns an endpoint on loopback, over HTTP. The caller closes it.
func NewEndpoint() *Endpoint {
	e := new(Endpoint)
	e.server = httptest.NewServer(e)
	e.URL, e.RevocationURL = e.server.URL+"/token", e.server.URL+"/revoke"
	return e
}

// SetLife has tokens be good for this long, as "expires_in" says, in whole seconds where it is
// a second or more. 0 is what a new endpoint has: it does not say.
func (e *Endpoint) SetLife(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.life = d
}

// SetText has this be the text of the nth token, counted from 1. It is called with the endpoint
// locked. Nil is what a new endpoint has: one of n and something random.
func (e *Endpoint) SetText(text func(n int) string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text = text
}

// Fail has requests be answered with this status and this error (RFC 6749, section 5.2), until
// [Endpoint.Resume].
func (e *Endpoint) Fail(status int, code string) {
	e.instead(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, status, map[string]any{"error": code, "error_description": "it was told to"})
	})
}

// FailWith has requests be answered by this handler, until [Endpoint.Resume]: by [HTML], say, or
// by [Flood].
func (e *Endpoint) FailWith(h http.HandlerFunc) { e.instead(h) }

// Stall has requests wait until they are given up, or [Endpoint.Resume] is called.
func (e *Endpoint) Stall() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.resumed == nil {
		e.resumed = make(chan struct{})
	}
}

// Resume has requests be answered as usual again, also those that wait.
func (e *Endpoint) Resume() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = nil
	if e.resumed != nil {
		close(e.resumed)
		e.resumed = nil
	}
}

func (e *Endpoint) instead(h http.HandlerFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = h
}

// HTML answers with a page and the status 200, as a proxy's page for logging in.
func HTML(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	io.WriteString(w, "<html>who are you?</html>\n")
}

// Flood answers with a gibibyte.
func Flood(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"access_token":"`)
	chunk := []byte(strings.Repeat("x", 1<<20))
	for range 1 << 10 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Requests returns all that came to be issued a token.
func (e *Endpoint) Requests() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.requests)
}

// Generation says which token this is, counted from 1, or 0 if it was not issued.
func (e *Endpoint) Generation(token string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Index(e.issued, token) + 1
}

// Issued returns how many tokens were issued.
func (e *Endpoint) Issued() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.issued)
}

// Accepts reports whether a token is among the newest n, and was not revoked.
func (e *Endpoint) Accepts(token string, n int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.issued[max(0, len(e.issued)-n):], token) && !slices.Contains(e.revoked, token)
}

// Revoked returns the tokens that were revoked, in order.
func (e *Endpoint) Revoked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.revoked)
}

// ServeHTTP issues a token, or, at a path that ends in "/revoke", revokes one.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	e.mu.Lock()
	resumed := e.resumed
	e.mu.Unlock()
	if resumed != nil {
		select {
		case <-resumed:
		case <-r.Context().Done():
			return
		}
	}
	e.mu.Lock()
	answer := e.answer
	if answer == nil && strings.HasSuffix(r.URL.Path, "/revoke") {
		e.revoked = append(e.revoked, r.PostForm.Get("token"))
		answer = func(http.ResponseWriter, *http.Request) {}
	} else if answer == nil {
		answer = e.issue()
	}
	if !strings.HasSuffix(r.URL.Path, "/revoke") {
		e.requests = append(e.requests, requestOf(r))
	}
	e.mu.Unlock()
	answer(w, r)
}

// issue makes a token, and returns what answers with it.
func (e *Endpoint) issue() http.HandlerFunc {
	n := len(e.issued) + 1
	text := fmt.Sprintf("issued-%d-%s", n, rand.Text())
	if e.text != nil {
		text = e.text(n)
	}
	e.issued = append(e.issued, text)
	answer := map[string]any{"access_token": text, "token_type": "Bearer"}
	switch {
	case e.life >= time.Second:
		answer["expires_in"] = int(e.life / time.Second)
	case e.life > 0:
		answer["expires_in"] = e.life.Seconds()
	}
	return func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, answer) }
}

func requestOf(r *http.Request) Request {
	request := Request{Header: r.Header, Form: r.PostForm}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		request.Certificate = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	return request
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// Close ends requests that wait, and a server that [NewEndpoint] returned.
func (e *Endpoint) Close() {
	e.Resume()
	if e.server != nil {
		e.server.CloseClientConnections()
		e.server.Close()
	}
}

// RoundTrip answers a request without a network, whatever host it is to, so that fake time
// ([testing/synctest]) passes meanwhile; [http.RoundTripper].
func (e *Endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	return inprocess.Transport{Handler: e}.RoundTrip(r)
}
