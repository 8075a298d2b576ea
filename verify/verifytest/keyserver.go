package verifytest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// KeyServer publishes a key set as an issuer does, and fails when told to. The zero value
// is an [http.Handler] that publishes a set without keys. It may be used concurrently.
type KeyServer struct {
	// URL is where a server that [NewKeyServer] returned publishes its keys.
	URL string

	server *httptest.Server

	mu      sync.Mutex
	keys    []Claims
	maxAge  time.Duration
	status  int           // to fail with, or 0
	resumed chan struct{} // closed when it answers again; nil if it does
	fetches int
}

// NewKeyServer returns a server on loopback, over HTTP, that publishes the keys of these
// signers. The caller closes it.
func NewKeyServer(signers ...*Signer) *KeyServer {
	s := new(KeyServer)
	s.Publish(signers...)
	s.server = httptest.NewServer(s)
	s.URL = s.server.URL + "/jwks.json"
	return s
}

// Publish replaces the published keys by those of these signers.
func (s *KeyServer) Publish(signers ...*Signer) {
	var keys []Claims
	for _, signer := range signers {
		keys = append(keys, signer.JWK())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

// SetMaxAge has answers say for how long they are fresh, in whole seconds. 0 is what a
// new server has: they do not say.
func (s *KeyServer) SetMaxAge(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxAge = d
}

// Fail has requests answered with this status, which is of an error (400 to 599), and an
// HTML page, until it is told to fail with 0.
func (s *KeyServer) Fail(status int) {
	if status != 0 && (status < 400 || status > 599) {
		panic(fmt.Sprintf("verifytest: %d is no status of an error", status))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Stall has requests wait until they are given up, or [KeyServer.Resume] is called.
func (s *KeyServer) Stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed == nil {
		s.resumed = make(chan struct{})
	}
}

// Resume has requests answered again, also those that wait.
func (s *KeyServer) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resumed != nil {
		close(s.resumed)
		s.resumed = nil
	}
}

// Fetches returns how many requests came.
func (s *KeyServer) Fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// ServeHTTP answers with the keys, or with 304 for who has them (RFC 9110, section 13.1.2).
func (s *KeyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.fetches++
	resumed := s.resumed
	s.mu.Unlock()
	if resumed != nil {
		select {
		case <-resumed:
		case <-r.Context().Done():
			return
		}
	}
	s.mu.Lock()
	jwks, maxAge, status := JWKS(s.keys...), s.maxAge, s.status
	s.mu.Unlock()
	if status != 0 {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<html>%d</html>\n", status)
		return
	}
	if maxAge > 0 {
		w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", maxAge/time.Second))
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(jwks)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(jwks))
}

// Close ends requests that wait, and a server that [NewKeyServer] returned.
func (s *KeyServer) Close() {
	s.Resume()
	if s.server != nil {
		s.server.Close()
	}
}
