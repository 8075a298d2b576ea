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
			t.Error(err)
			return
		}
		r.Header.Set("If-None-Match", etag)
		response, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return
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
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	arrived := func(n int) {
		for end := time.Now().Add(10 * time.Second); s.Fetches() < n && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	go func() {
		arrived(5)
		cancel()
	}()
	if _, err := client.Do(r); err == nil {
		t.Error("it answers, though it is stalled")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		get(200, `"kid":"b"`, "public, max-age=300")
	}()
	arrived(6)
	s.Resume()
	s.Resume()
	<-done
	s.Publish()
	get(200, `{"keys":[]}`, "public, max-age=300")
	if n := s.Fetches(); n != 7 {
		t.Errorf("%d fetches, want 7", n)
	}
}

func TestNewPrincipal(t *testing.T) {
	p := verifytest.NewPrincipal(verifytest.Session("ccpool_test", time.Now()).With("more", "x"))
	if p.Session != "session_1" || p.Organization != "org-1" || p.Creator.Kind != verify.User || !strings.Contains(string(p.Claims()), `"more":"x"`) {
		t.Errorf("%+v", p)
	}
	for _, claims := range []verifytest.Claims{nil, {"iss": "x"}, {"iss": "x", "aud": "y"}, {"iss": "x", "aud": "y", "exp": 1}} {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "verifytest: claims: ") {
					t.Errorf("%v: %q", claims, s)
				}
			}()
			verifytest.NewPrincipal(claims)
		}()
	}
}

// TestMisuse has what makes no sense panic in the test that does it.
func TestMisuse(t *testing.T) {
	s := new(verifytest.KeyServer)
	for _, status := range []int{-1, 99, 100, 200, 304, 600} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Fail(%d) does not panic", status)
				}
			}()
			s.Fail(status)
		}()
	}
	s.Close() // there is nothing to close
}
