// Package inprocess sends requests to a handler without a network, so that fake time
// ([testing/synctest]) passes meanwhile. It is for tests, and for what users have for theirs.
package inprocess

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
)

// Transport answers requests with its handler, whatever host they are to.
type Transport struct{ http.Handler }

// RoundTrip sends a copy of a request, and closes its body; [http.RoundTripper]. It waits no
// longer than the request's context lasts: nothing is sent after its end, and nothing that the
// handler says then is an answer.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	own := r.Clone(ctx)
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		own.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.ServeHTTP(w, own)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	// A handler that gives up with the context has said nothing, which looks like a 200.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}
