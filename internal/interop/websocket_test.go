package interop

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/ingressauth/ingressauth"
)

// TestWebSocket dials a real server with TLS, loses the connection, and comes back
// with the token that was put in place meanwhile. A rotation that the server knows
// of first costs a renewal, and no dial.
func TestWebSocket(t *testing.T) {
	var takes atomic.Value // the one Authorization field that the server takes
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != takes.Load() {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(w, "refused", http.StatusUnauthorized)
			return
		}
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		if err := c.Write(r.Context(), websocket.MessageText, []byte(r.Header.Get("Authorization"))); err != nil {
			t.Error(err)
		}
		c.Read(r.Context()) // until the client goes
	}))
	defer server.Close()
	resolver := newResolver(t, "first")
	resolver.RenewWait = 10 * time.Second
	client := &http.Client{Transport: &ingressauth.Transport{Source: resolver, Base: server.Client().Transport, Origins: []string{server.URL}}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	greeting := func() string {
		t.Helper()
		c, _, err := websocket.Dial(ctx, "wss"+server.URL[len("https"):], &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		_, b, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := func(field string) {
		t.Helper()
		if got := greeting(); got != field {
			t.Errorf("the server got %q, want %q", got, field)
		}
	}
	takes.Store("Bearer first")
	want("Bearer first")
	takes.Store("Bearer second")
	update(t, resolver, "second")
	want("Bearer second")
	takes.Store("Bearer third")
	time.AfterFunc(5*time.Millisecond, func() { resolver.Update("third") })
	want("Bearer third")

	takes.Store("another's")
	resolver.RenewWait = 0 // nobody uses it just now
	if _, response, err := websocket.Dial(ctx, server.URL, &websocket.DialOptions{HTTPClient: client}); err == nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("refused for good: %v", err)
	}
}
