package verifytest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestKeyServer has it do what it is told, one after the other.
func TestKeyServer(t *testing.T) {
	a, b := verifytest.NewSigner(verify.EdDSA, "a"), verifytest.NewSigner(verify.RS256, "b")
	s := verifytest.NewKeyServer(a)
	defer s.Close()
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	etag := ""
	get := func(status int, says, maxAge string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("If-None-Match", etag)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != status || !strings.Contains(string(body), says) || response.Header.Get("Cache-Control") != maxAge {
			t.Errorf("%v: status %d, %v: %s", err, response.StatusCode, response.Header, body)
		}
		etag = response.Header.Get("ETag")
	}
	get(200, `"kid":"a"`, "")
	get(304, "", "")
	s.SetMaxAge(5 * time.Minute)
	s.Publish(b)
	get(200, `"kid":"b"`, "public, max-age=300")
	s.Fail(500)
	get(500, "<html>", "")
	s.Fail(0)
	s.Stall()
	s.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(r); err == nil {
		t.Error("it answers, though it is stalled")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		get(200, `"kid":"b"`, "public, max-age=300")
	}()
	for s.Fetches() < 6 {
		time.Sleep(time.Millisecond)
	}
	s.Resume()
	s.Resume()
	<-done
	s.Publish()
	get(200, `{"keys":[]}`, "public, max-age=300")
	if n := s.Fetches(); n != 7 {
		t.Errorf("%d fetches, want 7", n)
	}
}
