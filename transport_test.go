package ingressauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
)

// roundTripper is a base that answers without a network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is a response without a body.
func answer(r *http.Request, status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}
}

// renewer is a source that counts what it is asked.
type renewer struct {
	ingressauth.Source
	renew    func(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error)
	renewals atomic.Int64
}

func (r *renewer) Renew(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	r.renewals.Add(1)
	return r.renew(ctx, refused)
}

// credentials are our three fields of a header, in any letter case.
func credentials(h http.Header) http.Header {
	c := http.Header{}
	for name, values := range h {
		switch name := http.CanonicalHeaderKey(name); name {
		case "Authorization", "Cookie", "X-Organization-Uuid":
			c[name] = append(c[name], values...)
		}
	}
	return c
}

// TestTransportOrigins has origins that are named, and requests that get the token
// there, or do not.
func TestTransportOrigins(t *testing.T) {
	for _, tt := range []struct {
		origin  string
		with    []string
		without []string
	}{
		{"https://service.example",
			[]string{"https://service.example/a?b", "https://service.example:443", "https://SERVICE.example/", "https://service.example:/"},
			[]string{"http://service.example", "https://service.example:444", "https://sub.service.example", "https://example",
				"https://service.example.evil.example", "https://service.example@evil.example", "https://service.example.",
				"https://evil.example/service.example", "https://ſervice.example", "ftp://service.example", "https://service.example:0443"}},
		{"https://Service.Example:8443/", []string{"https://service.example:8443"}, []string{"https://service.example", "http://service.example:8443"}},
		{"http://localhost", []string{"http://localhost/", "http://localhost:80"}, []string{"https://localhost", "http://localhost:81", "http://a.localhost", "http://127.0.0.1", "http://LOCALHOST", "http://localhost@evil.example"}},
		{"http://127.8.0.1:8080", []string{"http://127.8.0.1:8080"}, []string{"http://127.0.0.1:8080"}},
		{"http://[::1]:8080", []string{"http://[::1]:8080"}, []string{"http://[::2]:8080", "http://[::1]"}},
		{"unix://daemon", []string{"http://daemon/", "http://daemon:80"}, []string{"https://daemon", "http://other", "unix://daemon"}},
	} {
		send := func(target string) http.Header {
			t.Helper()
			var got http.Header
			tr := &ingressauth.Transport{
				Source: ingressauth.Static(newToken(t, "made-up", "")), Origins: []string{"https://first.example", tt.origin},
				Base: roundTripper(func(r *http.Request) (*http.Response, error) { got = r.Header; return answer(r, 200), nil }),
			}
			request, err := http.NewRequest("GET", target, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header = http.Header{"Accept": {"a"}, "Authorization": {"Basic own"}, "cookie": {"own=1"}, "X-Organization-Uuid": {"own"}}
			if _, err := tr.RoundTrip(request); err != nil {
				t.Errorf("%s with %s: %v", tt.origin, target, err)
			}
			if got.Get("Accept") != "a" {
				t.Errorf("%s with %s: other fields are gone: %v", tt.origin, target, got)
			}
			return credentials(got)
		}
		for _, target := range tt.with {
			want := http.Header{"Authorization": {"Bearer made-up"}, "Cookie": {"own=1"}}
			if diff := cmp.Diff(want, send(target)); diff != "" {
				t.Errorf("%s with %s (-want +got):\n%s", tt.origin, target, diff)
			}
		}
		for _, target := range tt.without {
			if got := send(target); len(got) != 0 {
				t.Errorf("%s with %s: got %v", tt.origin, target, got)
			}
		}
	}
}

// TestTransportRefuses has transports and requests that are wrong. Nothing is sent,
// and the body is closed.
func TestTransportRefuses(t *testing.T) {
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return nil, errors.New("sent")
	})
	good := ingressauth.Static(newToken(t, "made-up", ""))
	const service = "https://service.example"
	failure := errors.New("made up")
	for _, tt := range []struct {
		name    string
		source  ingressauth.Source
		origins []string
		base    http.RoundTripper
		is      error
		says    string
	}{
		{"no origins", good, nil, base, ingressauth.ErrNoOrigins, ""},
		{"plain HTTP", good, []string{"http://service.example"}, base, nil, "use https"},
		{"a private address", good, []string{"http://10.0.0.1"}, base, nil, "use https"},
		{"any address", good, []string{"http://0.0.0.0"}, base, nil, "use https"},
		{"any address, IPv6", good, []string{"http://[::]"}, base, nil, "use https"},
		{"below localhost", good, []string{"http://a.localhost"}, base, nil, "use https"},
		{"one of two is bad", good, []string{service, "http://127.0.0.1.example"}, base, nil, "use https"},
		{"a path", good, []string{service + "/api"}, base, nil, "nothing else"},
		{"a query", good, []string{service + "?"}, base, nil, "nothing else"},
		{"no scheme", good, []string{"service.example"}, base, nil, "write it like"},
		{"no host", good, []string{"https://:8443"}, base, nil, "write it like"},
		{"a port that is none", good, []string{service + ":https"}, base, nil, "write it like"},
		{"a WebSocket", good, []string{"wss://service.example"}, base, nil, "https for wss"},
		{"another scheme", good, []string{"ftp://service.example"}, base, nil, "https, http or unix"},
		{"another script", good, []string{"https://bücher.example"}, base, nil, "ASCII"},
		{"a password", good, []string{"https://user:secret@service.example"}, base, nil, "nothing else"},
		{"a Unix socket without a base", good, []string{service, "unix://daemon"}, nil, nil, "Base"},
		{"no token", ingressauth.Static(ingressauth.Token{}), []string{service}, base, ingressauth.ErrNoToken, ""},
		{"a source that fails", failing{failure}, []string{service}, base, failure, ""},
	} {
		tr := &ingressauth.Transport{Source: tt.source, Origins: tt.origins, Base: tt.base}
		for range 2 { // the second time as the first
			body := &closing{Reader: strings.NewReader("body")}
			request, err := http.NewRequest("POST", service, body)
			if err != nil {
				t.Fatal(err)
			}
			_, err = tr.RoundTrip(request)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", tt.name, err)
			}
			if body.closed.Load() != 1 {
				t.Errorf("%s: the body was closed %d times", tt.name, body.closed.Load())
			}
		}
	}
	if _, err := (&ingressauth.Transport{Origins: []string{service}, Source: good, Base: base}).RoundTrip(&http.Request{}); err == nil {
		t.Error("a request without a URL: no error")
	}
}

type failing struct{ err error }

func (f failing) Token(context.Context) (ingressauth.Token, error) { return ingressauth.Token{}, f.err }

// closing is a body that counts how often it is closed.
type closing struct {
	io.Reader
	closed atomic.Int64
}

func (c *closing) Close() error { c.closed.Add(1); return nil }

// TestTransportRedirects has real servers that send a client from one to another.
func TestTransportRedirects(t *testing.T) {
	var got []string // which server had credentials, and which had none
	servers := map[string]*httptest.Server{}
	for _, name := range []string{"a", "b", "c"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(credentials(r.Header)) > 0 {
				got = append(got, name+"+")
			} else {
				got = append(got, name)
			}
			if next, rest, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/"); next != "" {
				http.Redirect(w, r, servers[next].URL+"/"+rest, http.StatusTemporaryRedirect)
			}
		}))
		defer s.Close()
		servers[name] = s
	}
	for _, tt := range []struct{ path, want string }{
		{"a", "a+"},
		{"a/b", "a+ b+"},
		{"a/c", "a+ c"},
		{"a/c/a", "a+ c a"},
		{"a/b/c/b/a", "a+ b+ c b a"},
		{"c/a", "c a"},
		{"a/a/a", "a+ a+ a+"},
	} {
		for _, method := range []string{"GET", "POST"} {
			jar, _ := cookiejar.New(nil)
			for _, s := range servers {
				u, _ := url.Parse(s.URL)
				jar.SetCookies(u, []*http.Cookie{{Name: "sessionKey", Value: "stale"}})
			}
			client := &http.Client{Jar: jar, Transport: &ingressauth.Transport{
				Source:  ingressauth.Static(newToken(t, "sk-ant-sid-made-up", "organisation")),
				Origins: []string{servers["a"].URL, servers["b"].URL},
			}}
			got = nil
			first, rest, _ := strings.Cut(tt.path, "/")
			request, err := http.NewRequest(method, servers[first].URL+"/"+rest, strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer the-caller's")
			request.Header.Set("X-Organization-Uuid", "the-caller's")
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s %s: credentials went to %q, want %q", method, tt.path, s, tt.want)
			}
			for r := response.Request; r != nil && r.Response != nil; r = r.Response.Request {
				if strings.Contains(fmt.Sprint(r.Header), "made-up") {
					t.Errorf("%s %s: a request that the caller can see has the token", method, tt.path)
				}
			}
			client.CloseIdleConnections()
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestTransportDoubts has requests that do not say where they come from, or go
// elsewhere than they seem to.
func TestTransportDoubts(t *testing.T) {
	loop := &http.Request{URL: &url.URL{Scheme: "https", Host: "service.example"}, Header: http.Header{}}
	loop.Response = &http.Response{Request: loop}
	unknown := &http.Request{URL: loop.URL, Header: http.Header{}, Response: &http.Response{}}
	opaque := &http.Request{URL: &url.URL{Scheme: "https", Host: "service.example", Opaque: "//evil.example/"}, Header: http.Header{"cookie": {"own=1"}}}
	other := &http.Request{URL: &url.URL{Scheme: "https", Host: "other.example"}, Header: http.Header{"x-organization-uuid": {"own"}}, Trailer: http.Header{"Authorization": nil}}
	for _, request := range []*http.Request{loop, unknown, opaque, other} {
		tr := &ingressauth.Transport{
			Source: ingressauth.Static(newToken(t, "made-up", "")), Origins: []string{"https://service.example"},
			Base: roundTripper(func(r *http.Request) (*http.Response, error) {
				if got := credentials(r.Header); len(got) > 0 || len(r.Trailer) > 0 {
					t.Errorf("got %v", got)
				}
				return answer(r, 200), nil
			}),
		}
		if _, err := tr.RoundTrip(request); err != nil {
			t.Error(err)
		}
	}
}

// TestTransportLeavesTheRequest has the caller's request, which stays as it was.
func TestTransportLeavesTheRequest(t *testing.T) {
	for _, target := range []string{"https://service.example/", "https://other.example/"} {
		for _, token := range []ingressauth.Token{newToken(t, "made-up", ""), newToken(t, "sk-ant-sid-made-up", "organisation")} {
			request, err := http.NewRequest("POST", target, strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			cookies := make([]string, 1, 4)
			cookies[0] = "a=1; sessionKey=stale; b=2"
			request.Header = http.Header{"Cookie": cookies, "cookie": {"c=3"}, "authorization": {"stale"}, "Accept": {"a"}}
			before := request.Clone(t.Context())
			tr := &ingressauth.Transport{
				Source: ingressauth.Static(token), Origins: []string{"https://service.example"},
				Base: roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "service.example" {
						h := http.Header{"Cookie": {"a=1; b=2; c=3"}}
						token.SetHeader(h)
						pairs := func(h http.Header) []string {
							return slices.Sorted(strings.SplitSeq(strings.Join(h["Cookie"], "; "), "; "))
						}
						if got, want := pairs(r.Header), pairs(h); r.Header.Get("Authorization") != h.Get("Authorization") || !slices.Equal(got, want) {
							t.Errorf("sent %v, want %v", r.Header, h)
						}
					}
					for name, values := range r.Header { // as a base may not, but some do
						r.Header[name] = append(values, "base's")
					}
					r.Header.Set("Base", "base's")
					return answer(r, 200), nil
				}),
			}
			response, err := tr.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before.Header, request.Header); diff != "" || request.URL.String() != target {
				t.Errorf("the request was changed (-before +after):\n%s", diff)
			}
			if response.Request != request {
				t.Error("the response is to another request")
			}
		}
	}
}

// TestTransportReplays has responses with status 401, and what is done about them.
func TestTransportReplays(t *testing.T) {
	const other = "other"
	for _, tt := range []struct {
		name       string
		text       string // of the token
		challenges []string
		status     int
		method     string
		getBody    string // how: "", "fails", "nil"
		source     string // what Renew says: "other", "none", "same", "zero"; "static": it is no renewer
		replayed   bool
		renewals   int64
	}{
		{name: "no challenge", replayed: true, renewals: 1},
		{name: "a bearer challenge", challenges: []string{`Bearer realm="a, b", error="invalid_token"`}, replayed: true, renewals: 1},
		{name: "lower case, after another", challenges: []string{`Basic realm="Bearer \", x", bearer`}, replayed: true, renewals: 1},
		{name: "in a second field", challenges: []string{`Basic realm = "x" , charset="UTF-8"`, "Bearer"}, replayed: true, renewals: 1},
		{name: "after a token68", challenges: []string{"Negotiate YWJj==, Bearer"}, replayed: true, renewals: 1},
		{name: "an empty challenge", challenges: []string{" , "}, replayed: true, renewals: 1},
		{name: "another challenge", challenges: []string{`Basic realm="Bearer"`}},
		{name: "a parameter that is called so", challenges: []string{`Digest realm="x", Bearer=1`}},
		{name: "DPoP", challenges: []string{`DPoP algs="ES256"`}},
		{name: "a quote that does not end", challenges: []string{`Basic realm="x, Bearer`}},
		{name: "a session key", text: "sk-ant-sid-a", replayed: true, renewals: 1},
		{name: "a session key, and a challenge", text: "sk-ant-sid-a", challenges: []string{"Bearer"}},
		{name: "another status", status: 403},
		{name: "a proxy's", status: 407},
		{name: "a server's failure", status: 503},
		{name: "with a body", method: "POST", replayed: true, renewals: 1},
		{name: "with a body that cannot be had again", method: "POST", getBody: "nil", renewals: 1},
		{name: "with a body that cannot be had after all", method: "POST", getBody: "fails", renewals: 1},
		{name: "no other token", source: "none", renewals: 1},
		{name: "the same token", source: "same", renewals: 1},
		{name: "the zero token", source: "zero", renewals: 1},
		{name: "a source that cannot renew", source: "static"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, status, method := tt.text, tt.status, tt.method
			if text == "" {
				text = "a"
			}
			if status == 0 {
				status = http.StatusUnauthorized
			}
			if method == "" {
				method = "GET"
			}
			source := &renewer{Source: ingressauth.Static(newToken(t, text, ""))}
			source.renew = func(_ context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
				switch tt.source {
				case "none":
					return ingressauth.Token{}, ingressauth.ErrNoToken
				case "same":
					return refused, nil
				case "zero":
					return ingressauth.Token{}, nil
				}
				return newToken(t, other, ""), nil
			}
			var sent []string
			var bodies []*closing
			refusal := &closing{Reader: strings.NewReader("refused")}
			tr := &ingressauth.Transport{Source: source, Origins: []string{"https://service.example"},
				Base: roundTripper(func(r *http.Request) (*http.Response, error) {
					body := ""
					if r.Body != nil {
						b, _ := io.ReadAll(r.Body)
						body = string(b)
						r.Body.Close()
					}
					token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + strings.TrimPrefix(r.Header.Get("Cookie"), "sessionKey=")
					sent = append(sent, token+":"+body)
					a := answer(r, status) // also the second time
					a.Header["Www-Authenticate"] = tt.challenges
					a.ContentLength, a.Body = 7, refusal
					if len(sent) > 1 {
						a.Body = http.NoBody
					}
					return a, nil
				})}
			if tt.source == "static" {
				tr.Source = source.Source
			}
			var request *http.Request
			newBody := func() *closing {
				bodies = append(bodies, &closing{Reader: strings.NewReader("body")})
				return bodies[len(bodies)-1]
			}
			var err error
			want := []string{text + ":"}
			if method == "POST" {
				request, err = http.NewRequest(method, "https://service.example", newBody())
				want[0] += "body"
				if tt.getBody != "nil" {
					request.GetBody = func() (io.ReadCloser, error) {
						if tt.getBody == "fails" {
							return nil, errors.New("made up")
						}
						return newBody(), nil
					}
				}
			} else {
				request, err = http.NewRequest(method, "https://service.example", nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			if tt.replayed {
				want = append(want, other+strings.TrimPrefix(want[0], text))
			}
			response, err := tr.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, sent); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
			if n := source.renewals.Load(); n != tt.renewals {
				t.Errorf("%d renewals, want %d", n, tt.renewals)
			}
			b, _ := io.ReadAll(response.Body)
			if response.StatusCode != status || !tt.replayed && string(b) != "refused" {
				t.Errorf("the answer is %d %q", response.StatusCode, b)
			}
			if closed := refusal.closed.Load() == 1; closed != tt.replayed {
				t.Errorf("the body of the refusal is closed: %v", closed)
			}
			for _, b := range bodies {
				if b.closed.Load() != 1 {
					t.Errorf("a body was closed %d times", b.closed.Load())
				}
			}
		})
	}
}

// TestTransportRenewsOnce has many requests that are refused with one token at the
// same time: one renewal answers all, be the answer another token or none.
func TestTransportRenewsOnce(t *testing.T) {
	const requests = 64
	for _, found := range []bool{true, false} {
		var current atomic.Value
		current.Store(newToken(t, "a", ""))
		source := &renewer{Source: sourceFunc(func() (ingressauth.Token, error) { return current.Load().(ingressauth.Token), nil })}
		source.renew = func(context.Context, ingressauth.Token) (ingressauth.Token, error) {
			if !found {
				return ingressauth.Token{}, ingressauth.ErrNoToken
			}
			current.Store(newToken(t, "b", ""))
			return newToken(t, "b", ""), nil
		}
		var together sync.WaitGroup
		together.Add(requests)
		tr := &ingressauth.Transport{Source: source, Origins: []string{"https://service.example"},
			Base: roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.Header.Get("Authorization") == "Bearer b" {
					return answer(r, 200), nil
				}
				together.Done()
				together.Wait()
				return answer(r, 401), nil
			})}
		var all sync.WaitGroup
		for range requests {
			all.Go(func() {
				request, _ := http.NewRequest("GET", "https://service.example", nil)
				response, err := tr.RoundTrip(request)
				if err != nil || (response.StatusCode == 200) != found {
					t.Errorf("%v, %v", response, err)
				}
			})
		}
		all.Wait()
		if n := source.renewals.Load(); n != 1 {
			t.Errorf("found %v: %d renewals", found, n)
		}
		if !found { // who comes later asks anew
			together.Add(1)
			request, _ := http.NewRequest("GET", "https://service.example", nil)
			if _, err := tr.RoundTrip(request); err != nil || source.renewals.Load() != 2 {
				t.Errorf("a later request: %v, %d renewals", err, source.renewals.Load())
			}
		}
	}
}

// TestTransportGivesUpAlone has the request that began a renewal give up: it gets
// the refusal, and the others what the renewal brings.
func TestTransportGivesUpAlone(t *testing.T) {
	answered, refused := make(chan struct{}), make(chan struct{}, 2)
	source := &renewer{Source: ingressauth.Static(newToken(t, "a", ""))}
	begun := make(chan struct{}, 1)
	source.renew = func(ctx context.Context, _ ingressauth.Token) (ingressauth.Token, error) {
		begun <- struct{}{}
		select {
		case <-answered:
			return newToken(t, "b", ""), nil
		case <-ctx.Done():
			return ingressauth.Token{}, ctx.Err()
		}
	}
	tr := &ingressauth.Transport{Source: source, Origins: []string{"https://service.example"},
		Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer b" {
				return answer(r, 200), nil
			}
			refused <- struct{}{}
			return answer(r, 401), nil
		})}
	get := func(ctx context.Context) int {
		request, _ := http.NewRequestWithContext(ctx, "GET", "https://service.example", nil)
		response, err := tr.RoundTrip(request)
		if err != nil {
			t.Error(err)
			return 0
		}
		return response.StatusCode
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan int), make(chan int)
	go func() { first <- get(ctx) }()
	<-begun
	go func() { second <- get(t.Context()) }()
	<-refused
	<-refused
	time.Sleep(5 * time.Millisecond) // so that the second waits; if not, it has a renewal of its own
	cancel()
	if status := <-first; status != 401 {
		t.Errorf("who gave up got %d", status)
	}
	close(answered)
	if status := <-second; status != 200 {
		t.Errorf("who waited got %d", status)
	}
}

// TestTransportRemembersRenewals has a source whose Token is behind its Renew, and
// requests that were under way with the refused token.
func TestTransportRemembersRenewals(t *testing.T) {
	source := &renewer{Source: ingressauth.Static(newToken(t, "a", ""))}
	source.renew = func(context.Context, ingressauth.Token) (ingressauth.Token, error) { return newToken(t, "b", ""), nil }
	late := make(chan struct{})
	tr := &ingressauth.Transport{Source: source, Origins: []string{"https://service.example"},
		Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer b" {
				return answer(r, 200), nil
			}
			if r.URL.Path == "/late" {
				late <- struct{}{}
				<-late
			}
			return answer(r, 401), nil
		})}
	get := func(path string) {
		request, _ := http.NewRequest("GET", "https://service.example/"+path, nil)
		if response, err := tr.RoundTrip(request); err != nil || response.StatusCode != 200 {
			t.Errorf("%v, %v", response, err)
		}
	}
	done := make(chan struct{})
	go func() { get("late"); close(done) }()
	<-late
	get("")
	late <- struct{}{}
	<-done
	if n := source.renewals.Load(); n != 1 {
		t.Errorf("%d renewals", n)
	}
}

// TestTransportBases has bases that do what they must not.
func TestTransportBases(t *testing.T) {
	var elsewhere atomic.Int64 // requests that got where they should not
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	proxy, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	redirecting := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer redirecting.Close()
	follower := &http.Client{}
	defer follower.CloseIdleConnections()
	for _, tt := range []struct {
		name, target string
		base         http.RoundTripper
		elsewhere    int64
		says         string
	}{
		{"a proxy sees plain HTTP", "http://localhost:9", &http.Transport{Proxy: http.ProxyURL(proxy)}, 0, "proxy"},
		{"redirects are followed", redirecting.URL, roundTripper(func(r *http.Request) (*http.Response, error) { return follower.Do(r) }), 1, "followed"},
		{"nothing is returned", "https://service.example", roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil }), 0, "neither"},
	} {
		elsewhere.Store(0)
		tr := &ingressauth.Transport{Source: ingressauth.Static(newToken(t, "made-up", "")), Origins: []string{tt.target}, Base: tt.base}
		request, err := http.NewRequest("GET", tt.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.RoundTrip(request); err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "made-up") {
			t.Errorf("%s: %v", tt.name, err)
		}
		if n := elsewhere.Load(); n != tt.elsewhere {
			t.Errorf("%s: %d requests got elsewhere", tt.name, n)
		}
	}
	tr := &ingressauth.Transport{Source: ingressauth.Static(newToken(t, "made-up", "")), Origins: []string{"https://service.example"},
		Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != "service.example" {
				return follower.Do(r)
			}
			return &http.Response{StatusCode: 401, Request: r}, nil
		})}
	request, _ := http.NewRequest("GET", redirecting.URL, nil)
	if response, err := tr.RoundTrip(request); err != nil {
		t.Errorf("redirects of a request that has no token are followed: %v", err)
	} else {
		response.Body.Close()
	}
	request, _ = http.NewRequest("GET", "https://service.example", nil)
	if response, err := tr.RoundTrip(request); err != nil || response.Body == nil {
		t.Errorf("a refusal without a body: %v, %v", response, err)
	}
}

// TestTransportDrains has a real server whose refusals end, and use one connection
// with what follows, or do not end, and delay nothing for long.
func TestTransportDrains(t *testing.T) {
	for _, ends := range []bool{true, false} {
		var connections atomic.Int64
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer b" {
				return
			}
			w.Header().Set("Content-Length", "7")
			w.WriteHeader(http.StatusUnauthorized)
			if ends {
				io.WriteString(w, "refused")
				return
			}
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				connections.Add(1)
			}
		}
		server.Start()
		source := &renewer{Source: ingressauth.Static(newToken(t, "a", ""))}
		source.renew = func(context.Context, ingressauth.Token) (ingressauth.Token, error) { return newToken(t, "b", ""), nil }
		client := &http.Client{Transport: &ingressauth.Transport{Source: source, Origins: []string{server.URL}, Base: &http.Transport{}}, Timeout: 20 * time.Second}
		response, err := client.Get(server.URL)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("ends %v: %v, %v", ends, response, err)
		}
		response.Body.Close()
		if n := connections.Load(); ends && n != 1 {
			t.Errorf("%d connections", n)
		}
		client.CloseIdleConnections()
		server.Close()
	}
}

// TestTransportUnixSocket has a real server behind a Unix socket.
func TestTransportUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("Authorization"))
	})}}
	server.Start()
	defer server.Close()
	var d net.Dialer
	client := &http.Client{Transport: &ingressauth.Transport{
		Source: ingressauth.Static(newToken(t, "made-up", "")), Origins: []string{"unix://daemon"},
		Base: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) }},
	}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://daemon/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if b, _ := io.ReadAll(response.Body); string(b) != "Bearer made-up" {
		t.Errorf("got %q", b)
	}
}

// TestTransportAcrossRotations has 64 clients of a server that takes the newest token
// alone, which it learns a moment before they do: 100,000 requests, and a rotation
// every 5 ms, by messages on the standard input. Each request ends well after one
// replay at most, and the source is asked no more often than there were rotations.
//
// On a busy machine a request can take longer than 5 ms. Then the next rotation waits
// until those have ended that may carry a token from before the last, since no client
// can make one replay do for two rotations.
func TestTransportAcrossRotations(t *testing.T) {
	const requests, clients = 100_000, 64
	w := newWorld(t)
	resolver := w.resolver(false)
	resolver.Log, resolver.RenewWait = nil, 20*time.Second
	t.Cleanup(func() { os.Unsetenv(w.p.TokenVariable) })
	text := func(n int64) string { return fmt.Sprintf("token-%d", n) }
	if err := resolver.Update(text(0)); err != nil {
		t.Fatal(err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	child := make(chan error)
	go func() {
		_, err := io.Copy(io.Discard, &control.Reader{In: in, Resolver: resolver})
		child <- err
	}()
	parent := &control.Writer{Out: out}

	var newest, arrived atomic.Int64   // tokens, at the server and at the clients
	var underWay [clients]atomic.Int64 // 0, or 1 more than what had arrived when the request began
	var replays, sent, refused atomic.Int64
	source := &renewer{Source: resolver, renew: resolver.Renew}
	tr := &ingressauth.Transport{Source: source, Origins: []string{"https://service.example"},
		Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			tries := r.Context().Value(triesKey{}).(*int)
			if *tries++; *tries == 2 {
				replays.Add(1)
			}
			if r.Header.Get("Authorization") != "Bearer "+text(newest.Load()) {
				return answer(r, http.StatusUnauthorized), nil
			}
			return answer(r, http.StatusOK), nil
		})}
	stop := make(chan struct{})
	var rotating, all sync.WaitGroup
	rotating.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		settled := func() bool {
			for i := range underWay {
				if began := underWay[i].Load(); began != 0 && began <= arrived.Load() {
					return false
				}
			}
			return true
		}
		for {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			n := newest.Add(1)
			if err := parent.Update(t.Context(), map[string]string{w.p.TokenVariable: text(n)}); err != nil {
				t.Error(err)
				return
			}
			for tokenText(t, resolver) != text(n) {
				time.Sleep(50 * time.Microsecond)
			}
			for arrived.Store(n); !settled(); {
				time.Sleep(50 * time.Microsecond)
			}
		}
	})
	for i := range clients {
		all.Go(func() {
			for sent.Add(1) <= requests {
				underWay[i].Store(arrived.Load() + 1)
				tries := new(int)
				request, _ := http.NewRequestWithContext(context.WithValue(t.Context(), triesKey{}, tries), "GET", "https://service.example", nil)
				response, err := tr.RoundTrip(request)
				underWay[i].Store(0)
				if err != nil || response.StatusCode != http.StatusOK || *tries > 2 {
					refused.Add(1)
				}
				time.Sleep(time.Millisecond) // so that there are rotations meanwhile
			}
		})
	}
	all.Wait()
	close(stop)
	rotating.Wait()
	out.Close()
	if err := <-child; err != nil {
		t.Error(err)
	}
	t.Logf("%d requests, %d rotations, %d renewals, %d replays", requests, newest.Load(), source.renewals.Load(), replays.Load())
	if n := refused.Load(); n > 0 {
		t.Errorf("%d requests did not end well after one replay", n)
	}
	if source.renewals.Load() > newest.Load() {
		t.Errorf("%d renewals in %d rotations", source.renewals.Load(), newest.Load())
	}
	if replays.Load() == 0 || newest.Load() < 10 {
		t.Error("too few requests met a rotation")
	}
}

// triesKey has how often a request was sent, an *int.
type triesKey struct{}
