package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// hello answers with who was let through.
var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	p, ok := verify.PrincipalFrom(r.Context())
	fmt.Fprint(w, "hello ", p.Session, ok)
})

// TestGuard has all kinds of refusals, as they are answered and told.
func TestGuard(t *testing.T) {
	const (
		invalid = `Bearer error="invalid_token"`
		missing = `Bearer realm="session"`
	)
	s := signers()[verify.ES256]
	bearer := func(c claims) string { return "Bearer " + prefix + s.Token(c) }
	down := errors.New("SECRET reason")
	for _, tt := range []struct {
		name          string
		authorization string
		config        func(*verify.Config)
		policy        verify.Policy
		status        int
		challenge     string
		reason        verify.Reason
	}{
		{"good", bearer(session()), nil, nil, 200, "", ""},
		{"no credential", "", nil, nil, 401, missing, verify.NoCredential},
		{"another scheme", "Basic eDp5", nil, nil, 401, missing, verify.NoCredential},
		{"empty", "Bearer", nil, nil, 401, invalid, verify.Malformed},
		{"no token", "Bearer SECRET", nil, nil, 401, invalid, verify.WrongPrefix},
		{"expired", bearer(session().With("exp", now.Add(-time.Hour).Unix())), nil, nil, 401, invalid, verify.Expired},
		{"another role", bearer(session().With("ccr:role", "runner")), nil, nil, 401, invalid, verify.WrongClaim},
		{"another key", "Bearer " + prefix + newSigner("x").Token(session()), nil, nil, 401, invalid, verify.WrongAlgorithm},
		{"revoked", bearer(session()), func(c *verify.Config) {
			c.Revocations = &revocations{ids: map[string]bool{"token-1": true}}
		}, nil, 401, invalid, verify.Revoked},
		{"revocations unavailable", bearer(session()), func(c *verify.Config) {
			c.Revocations = &revocations{err: down}
		}, nil, 503, "", verify.RevocationsUnavailable},
		{"keys unavailable", bearer(session()), func(c *verify.Config) {
			c.Issuers[0].Keys = closedKeySet(t)
		}, nil, 503, "", verify.KeysUnavailable},
		{"a policy that says yes", bearer(session()), nil, verify.InOrganization("org-1"), 200, "", ""},
		{"a policy that says no", bearer(session()), nil, verify.InOrganization("org-2"), 403, "", verify.Forbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(sessionIssuer(t))
			if tt.config != nil {
				tt.config(&c)
			}
			var told []*verify.Refusal
			guard := &verify.Guard{Verifier: newVerifier(t, c), Policy: tt.policy, OnRefusal: func(r *http.Request, refusal *verify.Refusal) {
				if r.URL.Path != "/path" {
					t.Errorf("told of %v", r.URL)
				}
				told = append(told, refusal)
			}}
			for _, method := range []string{"GET", "POST"} {
				told = nil
				r := httptest.NewRequest(method, "/path", nil)
				if tt.authorization != "" {
					r.Header.Set("Authorization", tt.authorization)
				}
				w := httptest.NewRecorder()
				// Somebody before has said how the answer is to be kept.
				for _, name := range []string{"Cache-Control", "ETag", "Content-Encoding", "Last-Modified"} {
					w.Header().Set(name, "x")
				}
				guard.Handler(hello).ServeHTTP(w, r)
				if kept := w.Header()["Etag"] != nil && w.Header()["Content-Encoding"] != nil && w.Header()["Last-Modified"] != nil; kept != (tt.status == 200) ||
					(w.Header().Get("Cache-Control") == "no-store") == (tt.status == 200) {
					t.Errorf("fields that are not ours: %v", w.Header())
				}
				if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.challenge {
					t.Errorf("status %d, challenge %q", w.Code, w.Header().Get("WWW-Authenticate"))
				}
				if seconds, err := strconv.Atoi(w.Header().Get("Retry-After")); (err == nil && seconds > 0) != (tt.status == 503) {
					t.Errorf("Retry-After: %s", w.Header().Get("Retry-After"))
				}
				if tt.reason == "" {
					if got := w.Body.String(); got != "hello session_1true" || told != nil {
						t.Errorf("%q, told of %v", got, told)
					}
					continue
				}
				want := fmt.Sprintf(`{"status":%d,"title":%q,"reason":%q}`, tt.status, http.StatusText(tt.status), tt.reason)
				if got := w.Body.String(); got != want || w.Header().Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s: %s, want %s", w.Header().Get("Content-Type"), got, want)
				}
				if len(told) != 1 || told[0].Reason != tt.reason || told[0].Status() != tt.status {
					t.Fatalf("told of %v", told)
				}
				if known := told[0].Principal != nil; known != (tt.reason == verify.Forbidden || tt.reason == verify.Revoked) || known && (told[0].Principal.Session != "session_1" || told[0].Issuer != "ccr") {
					t.Errorf("who is refused: %+v", told[0].Principal)
				}
				if tt.reason == verify.NoCredential != errors.Is(told[0], ingressauth.ErrNoToken) {
					t.Error(told[0])
				}
			}
		})
	}

	// One without a verifier lets nobody through, and says what is missing.
	_, refusal := new(verify.Guard).Decide(httptest.NewRequest("GET", "/", nil))
	if refusal == nil || refusal.Reason != verify.KeysUnavailable || !strings.Contains(refusal.Error(), "no Verifier") {
		t.Error(refusal)
	}
}

func closedKeySet(t testing.TB) verify.KeySet {
	set, err := verify.NewRemoteKeySet(verify.RemoteConfig{URL: "http://localhost:1"})
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
	return set
}

// TestGuardCrossSite has browsers send cookies, which other sites may have made them do.
func TestGuardCrossSite(t *testing.T) {
	c := config(plainIssuer(t))
	c.SessionKeys = newSessionKeys()
	type header = map[string]string
	const (
		site, origin, upgrade = "Sec-Fetch-Site", "Origin", "Upgrade"
		here, elsewhere       = "https://service.example", "https://elsewhere.example"
	)
	for _, tt := range []struct {
		method string
		header header
		ok     bool
	}{
		{"POST", header{}, true}, // not a browser
		{"POST", header{site: "same-origin"}, true},
		{"POST", header{site: "none"}, true},
		{"POST", header{site: "same-site"}, false},
		{"POST", header{site: "cross-site"}, false},
		{"POST", header{site: "odd"}, false},
		{"PUT", header{site: "cross-site"}, false},
		{"DELETE", header{site: "cross-site"}, false},
		{"PATCH", header{site: "cross-site"}, false},
		{"CONNECT", header{site: "cross-site"}, false}, // a WebSocket over HTTP/2
		{"ODD", header{site: "cross-site"}, false},
		{"POST", header{origin: here}, true},
		{"POST", header{origin: elsewhere}, false},
		{"POST", header{origin: "null"}, false},
		{"POST", header{origin: ""}, false},
		{"POST", header{origin: "http://service.example"}, false}, // though this is https
		{"POST", header{origin: "//service.example"}, false},
		{"POST", header{origin: "file://"}, false},
		{"POST", header{origin: "https://Service.Example"}, true},
		{"POST", header{site: "none", origin: elsewhere}, false},
		{"POST", header{site: "none", origin: here}, true},
		{"POST", header{site: "same-origin", origin: elsewhere}, true}, // behind a proxy that changes Host
		{"POST", header{site: ""}, false},
		{"POST", header{origin: "https://service.example.elsewhere.example"}, false},
		{"POST", header{origin: here + ":8443"}, false},
		{"POST", header{site: "same-origin", origin: here}, true},
		{"POST", header{site: "cross-site", origin: here}, false},
		{"POST", header{site: "cross-site", origin: "https://pages.example"}, false},
		{"GET", header{site: "cross-site", origin: elsewhere}, true},
		{"HEAD", header{site: "cross-site"}, true},
		{"OPTIONS", header{site: "cross-site"}, true},
		{"GET", header{upgrade: "websocket"}, true},
		{"GET", header{upgrade: "websocket", origin: here}, true},
		{"GET", header{upgrade: "websocket", site: "same-origin"}, true},
		{"GET", header{upgrade: "websocket", origin: elsewhere}, false},
		{"GET", header{upgrade: "WebSocket", origin: elsewhere}, false},
		{"GET", header{upgrade: "x, websocket", origin: elsewhere}, false},
		{"GET", header{upgrade: "websocket", origin: "null"}, false},
		{"GET", header{upgrade: "websocket", site: "cross-site"}, false},
		{"GET", header{upgrade: "websocket", site: "same-site"}, false},
	} {
		for _, carries := range []string{"cookie", "token", "trusted"} {
			guard := &verify.Guard{Verifier: newVerifier(t, c)}
			r := httptest.NewRequest(tt.method, "https://service.example/", nil)
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			want := tt.ok
			switch carries {
			case "cookie":
				r.Header.Set("Cookie", "sessionKey="+oneKey)
			case "token": // which no browser sends by itself
				r.Header.Set("Authorization", "Bearer "+signers()[verify.EdDSA].Token(plain()))
				want = true
			case "trusted":
				r.Header.Set("Cookie", "sessionKey="+oneKey)
				guard.TrustedOrigins = []string{"https://pages.example"}
				want = want || r.Header.Get(origin) == "https://pages.example"
			}
			p, refusal := guard.Decide(r)
			if ok := refusal == nil; ok != want || ok == (p == nil) {
				t.Errorf("%s with %v and a %s: %v", tt.method, tt.header, carries, refusal)
			} else if !ok && (refusal.Reason != verify.CrossSite || refusal.Status() != 403) {
				t.Errorf("%s with %v: %v", tt.method, tt.header, refusal)
			}
		}
	}

	// Fields that stand twice, and a request without a host, are no browser's.
	guard := &verify.Guard{Verifier: newVerifier(t, c)}
	for name, change := range map[string]func(*http.Request){
		"two of Sec-Fetch-Site": func(r *http.Request) { r.Header[site] = []string{"same-origin", "cross-site"} },
		"two of Origin":         func(r *http.Request) { r.Header[origin] = []string{here, elsewhere} },
		"no host, and null":     func(r *http.Request) { r.Host, r.Header[origin] = "", []string{"null"} },
	} {
		r := httptest.NewRequest("POST", here, nil)
		r.Header.Set("Cookie", "sessionKey="+oneKey)
		change(r)
		if _, refusal := guard.Decide(r); refusal == nil || refusal.Reason != verify.CrossSite {
			t.Errorf("%s: %v", name, refusal)
		}
	}
	// Without TLS the scheme says nothing.
	r := httptest.NewRequest("POST", "http://service.example/", nil)
	r.Header.Set("Cookie", "sessionKey="+oneKey)
	for _, scheme := range []string{"http", "https"} { // a proxy may have ended TLS
		r.Header.Set(origin, scheme+"://service.example")
		if _, refusal := guard.Decide(r); refusal != nil {
			t.Errorf("%s: %v", scheme, refusal)
		}
	}
	r.Header.Set(origin, "ftp://service.example")
	if _, refusal := guard.Decide(r); refusal == nil {
		t.Error("ftp: not refused")
	}
	// It is answered like other refusals.
	w := httptest.NewRecorder()
	guard.Handler(hello).ServeHTTP(w, r)
	if w.Code != 403 || w.Body.String() != `{"status":403,"title":"Forbidden","reason":"cross-site"}` {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

// TestGuardGivenUp has a client give up while keys are awaited.
func TestGuardGivenUp(t *testing.T) {
	a := newSigner("a")
	synctest.Test(t, func(t *testing.T) {
		s := new(verifytest.KeyServer)
		s.Stall()
		w := newRemoteWorldOf(t, verify.RemoteConfig{}, s)
		var told *verify.Refusal
		guard := &verify.Guard{Verifier: w.verifier, OnRefusal: func(_ *http.Request, r *verify.Refusal) { told = r }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := httptest.NewRequest("GET", "/", nil).WithContext(ctx)
		r.Header.Set("Authorization", "Bearer "+a.Token(plain()))
		begun := time.Now()
		if _, refusal := guard.Decide(r); refusal != told || !errors.Is(refusal, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("after %v: %v", time.Since(begun), refusal)
		}
	})
}

func TestPolicies(t *testing.T) {
	human := &verify.Principal{Organization: "org-1", Creator: verify.Creator{Kind: verify.User}}
	agent := &verify.Principal{Organization: "org-2", Creator: verify.Creator{Kind: verify.Agent}}
	nobody := new(verify.Principal)
	reads := verify.Policy(func(_ *verify.Principal, r *http.Request) bool { return r.Method == "GET" })
	for name, tt := range map[string]struct {
		policy verify.Policy
		want   string // for each of the three, to GET and to POST
	}{
		"InOrganization":          {verify.InOrganization("org-1", "org-3"), "++ -- --"},
		"InOrganization, none":    {verify.InOrganization(), "-- -- --"},
		"InOrganization, empty":   {verify.InOrganization(""), "-- -- --"},
		"CreatedBy":               {verify.CreatedBy(verify.User), "++ -- --"},
		"CreatedBy, both":         {verify.CreatedBy(verify.User, verify.Agent), "++ ++ --"},
		"CreatedBy, empty":        {verify.CreatedBy(""), "-- -- --"},
		"AllOf":                   {verify.AllOf(reads, verify.CreatedBy(verify.Agent)), "-- +- --"},
		"AllOf, none":             {verify.AllOf(), "-- -- --"},
		"AnyOf":                   {verify.AnyOf(reads, verify.CreatedBy(verify.Agent)), "+- ++ +-"},
		"AnyOf, none":             {verify.AnyOf(), "-- -- --"},
		"one of the caller's own": {reads, "+- +- +-"},
		"AllOf, nil":              {verify.AllOf(reads, nil), "-- -- --"},
		"AnyOf, nil":              {verify.AnyOf(nil, reads), "+- +- +-"},
	} {
		var got []string
		for _, p := range []*verify.Principal{human, agent, nobody} {
			s := ""
			for _, method := range []string{"GET", "POST"} {
				if tt.policy(p, httptest.NewRequest(method, "/", nil)) {
					s += "+"
				} else {
					s += "-"
				}
			}
			got = append(got, s)
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPrincipalFrom(t *testing.T) {
	ctx := context.Background()
	if p, ok := verify.PrincipalFrom(ctx); p != nil || ok {
		t.Errorf("%v, %v", p, ok)
	}
	type key struct{}
	p := &verify.Principal{Session: "session_1"}
	ctx = verify.WithPrincipal(context.WithValue(ctx, key{}, "value"), p)
	got, ok := verify.PrincipalFrom(context.WithValue(ctx, key{}, "another"))
	if !ok || got.Session != "session_1" || ctx.Value(key{}) != "value" {
		t.Errorf("%v, %v", got, ok)
	}
	if s := fmt.Sprint(ctx); strings.Contains(s, "session_1") || !strings.Contains(s, "WithPrincipal") {
		t.Errorf("the context is printed as %s", s)
	}
	got.Session = "changed" // which is the request's own
	if p.Session != "session_1" {
		t.Error("it is shared")
	}
	if got, ok := verify.PrincipalFrom(verifytest.Request(p, "GET", "/", nil).Context()); !ok || got.Session != "session_1" {
		t.Errorf("%v, %v", got, ok)
	}
}

// TestGuardAndTransport has the project's two ends meet: a client whose token is replaced,
// and a service whose keys are.
func TestGuardAndTransport(t *testing.T) {
	a, b := newSigner("a"), newSigner("b")
	keys := verifytest.NewKeyServer(a)
	defer keys.Close()
	var lock sync.Mutex
	var refused []verify.Reason
	set, err := verify.NewRemoteKeySet(verify.RemoteConfig{URL: keys.URL, OnEvent: new(keyEvents).tell})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	c := verify.Config{Issuers: []verify.Issuer{{Issuer: issuer, Audiences: []string{audience}, Keys: set}}}
	guard := &verify.Guard{Verifier: newVerifier(t, c), OnRefusal: func(_ *http.Request, r *verify.Refusal) {
		lock.Lock()
		defer lock.Unlock()
		refused = append(refused, r.Reason)
	}}
	service := httptest.NewServer(guard.Handler(hello))
	defer service.Close()

	token := func(s *signer, session string, life time.Duration) string {
		return s.Token(claims{"iss": issuer, "aud": audience, "sub": "ccr:session:" + session, "exp": time.Now().Add(life).Unix()})
	}
	const variable = "TEST_GUARD_TOKEN"
	t.Setenv(variable, token(a, "first", time.Hour))
	resolver := &ingressauth.Resolver{Profile: ingressauth.Profile{TokenVariable: variable, DescriptorVariable: "TEST_GUARD_NONE", FileVariable: "TEST_GUARD_NONE", File: "/nonexistent"}}
	client := &http.Client{Transport: &ingressauth.Transport{Source: resolver, Origins: []string{service.URL}}}
	defer client.CloseIdleConnections()
	get := func(want string, status int) {
		t.Helper()
		response, err := client.Get(service.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		var problem struct{ Reason string }
		if status != http.StatusOK {
			err = errors.Join(err, json.Unmarshal(body, &problem))
			body = []byte(problem.Reason)
		}
		if err != nil || response.StatusCode != status || string(body) != want {
			t.Errorf("%v: status %d, %q", err, response.StatusCode, body)
		}
	}
	get("hello firsttrue", 200)
	keys.Publish(b)
	t.Setenv(variable, token(b, "second", time.Hour)) // the new key is fetched for it
	get("hello secondtrue", 200)
	t.Setenv(variable, token(a, "third", time.Hour)) // of a key that is gone
	get("key", 401)
	lock.Lock()
	defer lock.Unlock()
	if diff := cmp.Diff([]verify.Reason{verify.WrongKey}, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}
