package broker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
)

func TestRoute(t *testing.T) {
	w := newWorld(t, echo, nil)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "other "+r.RequestURI) }))
	defer other.Close()
	b, err := New(Config{Source: w.token, Observe: w.records.add, Routes: []Route{
		{Upstream: w.upstream.URL, Allow: []string{"GET,HEAD /v1/", "POST /v1/items"}},
		{Upstream: other.URL, Prefix: "/other/", Name: "other"},
		{Upstream: other.URL, Prefix: "/other/deep/", Allow: []string{"* /x"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := b.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	child, err := b.Add(ChildConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		method, path string
		status       int
		upstream     string // the target that it gets
		route        string
	}{
		{"GET", "/v1/a?b=c;d", 200, "/v1/a?b=c;d", "/"},
		{"HEAD", "/v1/a", 200, "/v1/a", "/"},
		{"GET", "/v1/", 200, "/v1/", "/"},
		{"GET", "/v1", 404, "", ""},
		{"GET", "/v1/../v2", 404, "", ""},
		{"GET", "/v1/%2e%2e/v2", 404, "", ""},
		{"GET", "/v2/%2e%2e/v1/%61", 200, "/v1/a", "/"},
		{"GET", "/v1/..%2fv2", 400, "", ""},
		{"GET", "/v1/..%5cv2", 400, "", ""},
		{"GET", "/V1/a", 404, "", ""},
		{"POST", "/v1/items", 200, "/v1/items", "/"},
		{"POST", "/v1/items/", 404, "", ""},
		{"POST", "/v1/a", 404, "", ""},
		{"DELETE", "/v1/items", 404, "", ""},
		{"GET", "/other/a%2fb", 200, "/a%2Fb", "other"},
		{"GET", "/other", 200, "/", "other"},
		{"GET", "/other?x", 200, "/?x", "other"},
		{"GET", "/other/", 200, "/", "other"},
		{"GET", "/other//x", 400, "", ""},
		{"GET", "/otherwise", 404, "", ""},
		{"GET", "/other/deep/x", 200, "/x", "/other/deep/"},
		{"GET", "/other/deep/y", 404, "", ""},
		{"GET", "/other/../v1/x", 200, "/v1/x", "/"},
	} {
		r, err := http.NewRequest(test.method, l.URL()+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		child.Phantom().SetHeader(r.Header)
		w.records.lock.Lock()
		n := len(w.records.list)
		w.records.lock.Unlock()
		response, body := w.do(r)
		got := response.Header.Get("X-Got-Path")
		if rest, ok := strings.CutPrefix(body, "other "); ok {
			got = rest
		}
		if response.StatusCode != test.status || got != test.upstream {
			t.Errorf("%s %s: %s, upstream got %q; want %d, %q", test.method, test.path, response.Status, got, test.status, test.upstream)
		}
		if record := w.records.last(t, n+1); record.Route != test.route || record.Method != test.method || strings.Contains(record.Path, "?") {
			t.Errorf("%s %s: record %+v, want route %q", test.method, test.path, record, test.route)
		}
	}
}

// TestListenerRoutes has two listeners be for two upstreams.
func TestListenerRoutes(t *testing.T) {
	w := newWorld(t, echo, nil)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "other") }))
	defer other.Close()
	socket := "unix:" + shortDir(t) + "/d/s"
	b, err := New(Config{Source: w.token, Routes: []Route{{Upstream: w.upstream.URL}, {Upstream: other.URL, Listener: socket}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	child, _ := b.Add(ChildConfig{})
	for address, want := range map[string]string{socket: "other", "127.0.0.1:0": "hello\n"} {
		l, err := b.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		client, base := newClient(t), l.URL()
		if path, ok := strings.CutPrefix(base, "unix:"); ok {
			base = "http://localhost"
			client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}
		}
		r, _ := http.NewRequest("GET", base, nil)
		child.Phantom().SetHeader(r.Header)
		if _, body := do(t, client, r); body != want {
			t.Errorf("%s: %q, want %q", address, body, want)
		}
	}
}

// TestPages refuses what a browser sends for a page of another origin, and for a name that was
// made to mean this machine.
func TestPages(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("X-Got-Origin", r.Header.Get("Origin"))
	}, nil)
	port := w.port.port
	for _, test := range []struct {
		host, origin string
		reason       Reason
	}{
		{"127.0.0.1:" + port, "", ""},
		{"localhost:" + port, "http://localhost:" + port, ""},
		{"LOCALHOST:" + port, "", ""},
		{"[::1]:" + port, "", ""},
		{"127.1.2.3:" + port, "", ""},
		{"127.0.0.1:" + port, "http://127.0.0.1:" + port, ""},
		{"evil.example:" + port, "", WrongHost},
		{"localhost.evil.example:" + port, "", WrongHost},
		{"127.0.0.1.evil.example:" + port, "", WrongHost},
		{"127.0.0.1:1", "", WrongHost},
		{"127.0.0.1", "", WrongHost},
		{"localhost", "", WrongHost},
		{"0.0.0.0:" + port, "", WrongHost},
		{"127.0.0.1:" + port, "null", WrongOrigin},
		{"127.0.0.1:" + port, "https://127.0.0.1:" + port, WrongOrigin},
		{"127.0.0.1:" + port, "http://127.0.0.1:1", WrongOrigin},
		{"127.0.0.1:" + port, "http://evil.example", WrongOrigin},
		{"127.0.0.1:" + port, "http://evil.example:" + port, WrongOrigin},
		{"127.0.0.1:" + port, "file://", WrongOrigin},
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			r := w.request(method, "/", nil)
			r.Host = test.host
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			response, body := w.do(r)
			if reason := reasonOf(t, response, body); reason != test.reason {
				t.Errorf("%s, Host %q, Origin %q: %s %q, want %q", method, test.host, test.origin, response.Status, reason, test.reason)
			}
			if response.Header.Get("X-Got-Origin") != "" {
				t.Error("the upstream got our origin")
			}
			for name := range response.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("Host %q, Origin %q: %s in the answer", test.host, test.origin, name)
				}
			}
		}
	}
}

// TestRenewal has an upstream refuse a token.
func TestRenewal(t *testing.T) {
	const newToken = "sk-ant-cc-made-up-newer-token-of-a-test"
	large := strings.Repeat("x", maxReplay+1)
	for _, test := range []struct {
		name   string
		next   string // what the source has then
		body   string
		all    bool // nothing is good
		status int
		want   int // requests at the upstream
	}{
		{"another token", newToken, "", false, 200, 2},
		{"another token, and a body", newToken, "a body", false, 200, 2},
		{"another token, and a session key", sessionKey, "", false, 200, 2},
		{"a body that was not kept", newToken, large, false, 401, 1},
		{"no other token", "", "", false, 401, 1},
		{"another token that is refused, too", newToken, "", true, 401, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var lock sync.Mutex
			requests := 0
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				lock.Lock()
				requests++
				lock.Unlock()
				if string(b) != test.body {
					t.Errorf("a body of %d bytes", len(b))
				}
				if r.Header.Get("Authorization") == "Bearer "+realToken || test.all {
					w.WriteHeader(http.StatusUnauthorized)
				}
			}, nil)
			if test.next != "" {
				w.token.next = tokenOf(t, test.next, "")
			}
			var body io.Reader
			if test.body != "" {
				body = io.MultiReader(strings.NewReader(test.body)) // of which no length is known
			}
			response, _ := w.do(w.request("POST", "/", body))
			if response.StatusCode != test.status || requests != test.want {
				t.Errorf("%s, %d requests; want %d, %d", response.Status, requests, test.status, test.want)
			}
			want := realToken
			if test.want == 2 {
				want = test.next
			}
			if record := w.records.last(t, 1); record.Token != tokenOf(t, want, "").Fingerprint() || record.Received != int64(len(test.body)) {
				t.Errorf("record %+v", record)
			}
		})
	}
}

// TestStreams has an answer arrive piece by piece, while the request's body does, too.
func TestStreams(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
				http.NewResponseController(w).EnableFullDuplex()
				w.Header().Set("Content-Type", "text/event-stream")
				w.Header().Set("Trailer", "X-Sum")
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
				lines := bufio.NewScanner(r.Body)
				for lines.Scan() {
					fmt.Fprintf(w, "data: %s\n\n", lines.Text())
					w.(http.Flusher).Flush()
				}
				w.Header().Set("X-Sum", "of "+r.Trailer.Get("X-Sent"))
				w.Header().Set(http.TrailerPrefix+"X-Late", "late")
				if r.Trailer.Get("Authorization") != "" || r.Trailer.Get("X-Sent") != "all" {
					t.Errorf("trailer %v", r.Trailer)
				}
			}, nil)
			if proto == "HTTP/2.0" {
				var p http.Protocols
				p.SetUnencryptedHTTP2(true)
				w.client.Transport.(*http.Transport).Protocols = &p
			}
			body, pipe := io.Pipe()
			r := w.request("POST", "/", body)
			r.Trailer = http.Header{"X-Sent": nil}
			if proto == "HTTP/1.1" { // HTTP/2 has servers refuse it
				r.Trailer["Authorization"] = []string{"Bearer mine"}
			}
			response, err := w.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.Proto != proto {
				t.Error(response.Proto)
			}
			in := bufio.NewReader(response.Body)
			for i := range 20 {
				fmt.Fprintf(pipe, "event %d\n", i)
				line, err := in.ReadString('\n')
				if want := fmt.Sprintf("data: event %d\n", i); err != nil || line != want {
					t.Fatalf("%q, %v; want %q", line, err, want)
				}
				in.ReadString('\n')
			}
			r.Trailer.Set("X-Sent", "all")
			pipe.Close()
			if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
				t.Errorf("%q, %v", rest, err)
			}
			if got := response.Trailer; got.Get("X-Sum") != "of all" || got.Get("X-Late") != "late" {
				t.Errorf("trailer %v", got)
			}
			if record := w.records.last(t, 1); record.Sent == 0 || record.Received == 0 || record.Status != 200 {
				t.Errorf("record %+v", record)
			}
		})
	}
}

// TestEarlyHints passes on what comes before an answer, cleaned.
func TestEarlyHints(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Link", "</a>; rel=preload; title="+realToken)
		h.Set("Keep-Alive", "timeout=1")
		h.Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusEarlyHints)
		clear(h)
		h.Set("X-Final", "1")
		w.WriteHeader(200)
	}, nil)
	var hints []textproto.MIMEHeader
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, h)
		return nil
	}})
	response, _ := w.do(w.request("GET", "/", nil).WithContext(ctx))
	if len(hints) != 1 || hints[0].Get("Link") != "</a>; rel=preload; title="+mask || len(hints[0]) != 1 {
		t.Errorf("hints %v", hints)
	}
	if response.Header.Get("Link") != "" || response.Header.Get("X-Final") != "1" {
		t.Errorf("header %v", response.Header)
	}
}

func TestExpectContinue(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Refuse") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	}, nil)
	w.client.Transport.(*http.Transport).ExpectContinueTimeout = 10 * time.Second
	r := w.request("POST", "/", strings.NewReader("body"))
	r.Header.Set("Expect", "100-continue")
	if response, body := w.do(r); response.StatusCode != 200 || body != "body" {
		t.Errorf("%s %q", response.Status, body)
	}
	r = w.request("POST", "/", strings.NewReader("body"))
	r.Header.Set("Expect", "100-continue")
	r.Header.Set("X-Refuse", "1")
	if response, _ := w.do(r); response.StatusCode != 403 {
		t.Error(response.Status)
	}
}

// TestAnswerIsScrubbed has an upstream say the token in every place of a header.
func TestAnswerIsScrubbed(t *testing.T) {
	old := realToken
	const newer = "sk-ant-cc-made-up-newer-token-of-a-test"
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Echo", "is "+r.Header.Get("Authorization")+" and "+old)
		h[newer+"-Name"] = []string{"1"}
		h.Set("Location", "https://elsewhere.example/?token="+newer)
		h.Add("Set-Cookie", "sessionKey="+newer+"; Path=/")
		h.Add("Set-Cookie", " sessionKey =other")
		h.Add("Set-Cookie", "a=1; Path=/")
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, "body")
		h.Set("X-Sum", newer)
	}, nil)
	w.do(w.request("GET", "/", nil))
	w.token.set(t, newer, "")
	response, _ := w.do(w.request("GET", "/", nil))
	h := response.Header
	if response.StatusCode != 302 || h.Get("X-Echo") != "is Bearer "+mask+" and "+mask || h.Get("Location") != "https://elsewhere.example/?token="+mask {
		t.Errorf("%s %v", response.Status, h)
	}
	if got := h["Set-Cookie"]; len(got) != 1 || got[0] != "a=1; Path=/" {
		t.Errorf("Set-Cookie %q", got)
	}
	if got := response.Trailer.Get("X-Sum"); got != mask {
		t.Errorf("trailer %q", got)
	}
	var all bytes.Buffer
	h.Write(&all)
	for _, text := range []string{old, newer, "X-Hop"} {
		if strings.Contains(strings.ToLower(all.String()), strings.ToLower(text)) {
			t.Errorf("the answer has %q: %s", text, all.String())
		}
	}
}

// TestSameAnswer passes an answer on as it is.
func TestSameAnswer(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if ua := r.Header["User-Agent"]; len(ua) != 0 {
			t.Errorf("User-Agent %q", ua)
		}
		if ae := r.Header["Accept-Encoding"]; len(ae) != 0 {
			t.Errorf("Accept-Encoding %q", ae)
		}
		h["Content-Type"] = nil
		h.Set("Content-Encoding", "gzip")
		h.Set("Etag", `"1"`)
		h.Set("Content-Range", "bytes 0-3/10")
		h.Set("Content-Length", "4")
		w.WriteHeader(206)
		if r.Method != "HEAD" {
			io.WriteString(w, "\x1f\x8bxy")
		}
	}, nil)
	for _, method := range []string{"GET", "HEAD"} {
		r := w.request(method, "/", nil)
		r.Header["User-Agent"] = nil
		response, body := w.do(r)
		h := response.Header
		if response.StatusCode != 206 || h["Content-Type"] != nil || h.Get("Etag") != `"1"` || h.Get("Content-Length") != "4" || h.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s %s %v", method, response.Status, h)
		}
		if method == "GET" && body != "\x1f\x8bxy" {
			t.Errorf("%q", body)
		}
	}
	for _, status := range []int{204, 304} {
		w := newWorld(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }, nil)
		if response, body := w.do(w.request("GET", "/", nil)); response.StatusCode != status || body != "" {
			t.Errorf("%s %q", response.Status, body)
		}
	}
}

func TestScrubBodies(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		header       http.Header
		status       int
		want         string
		reason       Reason
	}{
		{name: "none", answer: "nothing here", want: "nothing here"},
		{name: "one", answer: "it is " + realToken + "!", want: "it is " + mask + "!"},
		{name: "many", answer: strings.Repeat(realToken, 1000), want: strings.Repeat(mask, 1000)},
		{name: "only a beginning", answer: "x" + realToken[:20], want: "x" + realToken[:20]},
		{name: "a beginning, and one", answer: realToken[:20] + realToken, want: realToken[:20] + mask},
		{name: "encoded", header: http.Header{"Content-Encoding": {"gzip"}}, status: 502, reason: Unscrubbable},
		{name: "identity", header: http.Header{"Content-Encoding": {"identity"}}, answer: realToken, want: mask},
		{name: "partial", header: http.Header{"Content-Range": {"bytes 0-1/2"}}, status: 502, reason: Unscrubbable},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("Range") != "" || r.Header.Get("If-Range") != "" {
					t.Errorf("header %v", r.Header)
				}
				h := w.Header()
				for name, values := range test.header {
					h[name] = values
				}
				for _, name := range []string{"Etag", "Last-Modified", "Content-Md5", "Digest", "Repr-Digest", "Accept-Ranges"} {
					h.Set(name, "x")
				}
				h.Set("Content-Length", fmt.Sprint(len(test.answer)))
				for text := test.answer; text != ""; { // in pieces of every size
					n := min(len(text), 1+len(text)%37)
					io.WriteString(w, text[:n])
					w.(http.Flusher).Flush()
					text = text[n:]
				}
			}, func(c *Config) { c.ScrubBodies = true })
			r := w.request("GET", "/", nil)
			r.Header.Set("Range", "bytes=0-1")
			r.Header.Set("If-Range", "x")
			r.Header.Set("Accept-Encoding", "gzip")
			response, body := w.do(r)
			if test.status == 0 {
				test.status = 200
			}
			if reason := reasonOf(t, response, body); response.StatusCode != test.status || reason != test.reason || test.reason == "" && body != test.want {
				t.Errorf("%s %q %q", response.Status, reason, body)
			}
			for _, name := range []string{"Etag", "Last-Modified", "Content-Md5", "Digest", "Repr-Digest", "Accept-Ranges"} {
				if response.Header.Get(name) != "" {
					t.Errorf("%s in the answer", name)
				}
			}
		})
	}
}

// TestScrubberHoldsBackLittle has what cannot be a token arrive at once.
func TestScrubberHoldsBackLittle(t *testing.T) {
	from, to := io.Pipe()
	s := newScrubber(from, func() []string { return []string{"secret-token"} })
	buffer := make([]byte, 100)
	for _, step := range []struct{ write, read string }{
		{"hello", "hello"}, {" sec", " "}, {"ond sec", "second "}, {"ret-token!", mask + "!"},
	} {
		go io.WriteString(to, step.write)
		if n, err := s.Read(buffer); err != nil || string(buffer[:n]) != step.read {
			t.Fatalf("after %q: %q, %v; want %q", step.write, buffer[:n], err, step.read)
		}
	}
	go func() { io.WriteString(to, "se"); to.CloseWithError(io.ErrUnexpectedEOF) }()
	if rest, err := io.ReadAll(s); string(rest) != "" || err != io.ErrUnexpectedEOF { // it would have become one, perhaps
		t.Errorf("%q, %v", rest, err)
	}
}

// TestFailures has the broker answer itself.
func TestFailures(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	slow := make(chan struct{})
	defer close(slow)
	for _, test := range []struct {
		name      string
		handler   http.HandlerFunc
		configure func(*Config)
		world     func(*world)
		request   func(*world) *http.Request
		status    int
		reason    Reason
	}{
		{name: "no token", world: func(w *world) { w.token.token, w.token.err = ingressauth.Token{}, ingressauth.ErrNoToken }, status: 503, reason: NoToken},
		{name: "the zero token", world: func(w *world) { w.token.token = ingressauth.Token{} }, status: 503, reason: NoToken},
		{name: "a source that fails", world: func(w *world) { w.token.err = errors.New("secret reason") }, status: 503, reason: NoToken},
		{name: "nobody there", configure: func(c *Config) { c.Routes[0].Upstream = closed.URL }, status: 502, reason: UpstreamFailed},
		{name: "an upstream that ends", handler: func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, status: 502, reason: UpstreamFailed},
		{name: "an upstream that takes long", handler: func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-slow:
			case <-r.Context().Done():
			}
		},
			configure: func(c *Config) { c.AnswerTime = 50 * time.Millisecond }, status: 504, reason: UpstreamSlow},
		{name: "an upstream that switches unasked", handler: func(w http.ResponseWriter, r *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n")
			c.Close()
		}, status: 502, reason: UpstreamFailed},
		{name: "a body that is too long", configure: func(c *Config) { c.MaxBody = 3 }, request: func(w *world) *http.Request { return w.request("POST", "/", strings.NewReader("abcd")) },
			status: 413, reason: TooLarge},
		{name: "a body of unknown length that is too long", configure: func(c *Config) { c.MaxBody = 3 },
			request: func(w *world) *http.Request {
				return w.request("POST", "/", io.MultiReader(strings.NewReader("abcd")))
			}, status: 413, reason: TooLarge},
		{name: "a body that is just short enough", configure: func(c *Config) { c.MaxBody = 4 },
			request: func(w *world) *http.Request {
				return w.request("POST", "/", io.MultiReader(strings.NewReader("abcd")))
			}, status: 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			handler := test.handler
			if handler == nil {
				handler = echo
			}
			w := newWorld(t, handler, test.configure)
			if test.world != nil {
				test.world(w)
			}
			request := w.request("GET", "/", nil)
			if test.request != nil {
				request = test.request(w)
			}
			response, body := w.do(request)
			if reason := reasonOf(t, response, body); response.StatusCode != test.status || reason != test.reason {
				t.Errorf("%s %q: %s", response.Status, reason, body)
			}
			if strings.Contains(body, "made-up") || strings.Contains(body, "secret") {
				t.Errorf("the answer says %s", body)
			}
			if record := w.records.last(t, 1); record.Status != test.status || record.Reason != test.reason {
				t.Errorf("record %+v", record)
			}
		})
	}
}

// TestUpstreamEnds has an upstream end in the middle of an answer, which the child sees.
func TestUpstreamEnds(t *testing.T) {
	for _, length := range []string{"100", ""} {
		w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nil)
		response, err := w.client.Do(w.request("GET", "/", nil))
		if err == nil {
			_, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		if err == nil {
			t.Errorf("length %q: the answer looks whole", length)
		}
		w.records.last(t, 1)
	}
}

// TestChildEnds has the child go away, or be removed, while a request is under way: the upstream
// learns of it at once.
func TestChildEnds(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, how := range []string{"cancelled", "removed", "closed"} {
			for _, begun := range []bool{false, true} {
				t.Run(fmt.Sprint(proto, " ", how, " ", begun), func(t *testing.T) {
					there, gone := make(chan struct{}), make(chan struct{})
					w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
						if begun {
							io.WriteString(w, "begun")
							w.(http.Flusher).Flush()
						}
						close(there)
						<-r.Context().Done()
						close(gone)
					}, nil)
					if proto == "HTTP/2.0" {
						var p http.Protocols
						p.SetUnencryptedHTTP2(true)
						w.client.Transport.(*http.Transport).Protocols = &p
					}
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					failed := make(chan error, 1)
					go func() {
						response, err := w.client.Do(w.request("GET", "/", nil).WithContext(ctx))
						if err == nil {
							_, err = io.ReadAll(response.Body)
							response.Body.Close()
						}
						failed <- err
					}()
					<-there
					switch how {
					case "cancelled":
						cancel()
					case "removed":
						w.child.Remove()
					case "closed":
						w.broker.Close()
					}
					wait(t, gone)
					if err := <-failed; err == nil {
						t.Error("the request has succeeded")
					}
					w.records.last(t, 1)
					if how != "removed" {
						return
					}
					response, body := w.do(w.request("GET", "/", nil))
					if reason := reasonOf(t, response, body); reason != InvalidPhantom {
						t.Errorf("after that: %s", response.Status)
					}
				})
			}
		}
	}
}

func wait(t testing.TB, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("waited in vain")
	}
}

// TestExpiry has a phantom end.
func TestExpiry(t *testing.T) {
	w := newWorld(t, echo, nil)
	for _, test := range []struct {
		expires time.Time
		reason  Reason
	}{{time.Now().Add(-time.Second), InvalidPhantom}, {time.Now().Add(time.Hour), ""}} {
		child, err := w.broker.Add(ChildConfig{Expires: test.expires})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest("GET", w.port.URL(), nil)
		child.Phantom().SetHeader(r.Header)
		if response, body := w.do(r); reasonOf(t, response, body) != test.reason {
			t.Errorf("%s, want %q", response.Status, test.reason)
		}
	}
}

// TestPing asks the broker for itself.
func TestPing(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }, nil)
	address := w.port.inner.Addr().String()
	auth := "Authorization: Bearer " + w.child.Phantom().Reveal() + "\r\n"
	for fields, want := range map[string]string{auth: "[204]", "": "[401]", "Authorization: Bearer x\r\n": "[403]"} {
		statuses, _ := exchangeRaw(t, address, "OPTIONS * HTTP/1.1\r\nHost: "+address+"\r\n"+fields+"\r\n", false, 1)
		if fmt.Sprint(statuses) != want {
			t.Errorf("%q: %v, want %s", fields, statuses, want)
		}
	}
}

// TestUpstreamHTTP2 sends to an upstream by HTTP/2, as it offers.
func TestUpstreamHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.RequestURI, " ", r.Header.Get("Authorization"))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := newTransport(answerTime)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	w := newWorld(t, echo, func(c *Config) { c.Transport, c.Routes[0].Upstream = transport, server.URL })
	if _, body := w.do(w.request("GET", "/a%2fb?c", nil)); body != "HTTP/2.0 /a%2Fb?c Bearer "+realToken {
		t.Errorf("%q", body)
	}
}

func TestIsOwn(t *testing.T) {
	l := &Listener{port: "80"}
	for authority, want := range map[string]bool{
		"127.0.0.1": true, "localhost": true, "[::1]": true, "127.0.0.1:80": true, "[::1]:80": true,
		"": false, ":80": false, "[::1%lo]:80": false, "localhost:": false, "localhost:080": false, "a.localhost": false, "127.0.0.1:81": false, "[127.0.0.1]x": false,
	} {
		if got := l.isOwn(authority); got != want {
			t.Errorf("isOwn(%q) = %v", authority, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	w := newWorld(t, echo, nil)
	for _, address := range []string{"", "0.0.0.0:0", ":0", "[::]:0", "10.0.0.1:0", "example.com:80", "localhost.:0", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:http",
		"127.0.0.1:+1", "unix:", "unix:relative", "unix:/a/../b", "unix:/" + strings.Repeat("a", 200), "tcp:127.0.0.1:0"} {
		if l, err := w.broker.Listen(address); err == nil {
			t.Errorf("listens on %s", l.URL())
		}
	}
	for _, address := range []string{"localhost:0", "127.1.2.3:0"} {
		w.listen(address)
	}
}

func TestConfig(t *testing.T) {
	good := Config{Source: new(rotating), Routes: []Route{{Upstream: "https://service.example"}}}
	for name, change := range map[string]func(*Config){
		"no source": func(c *Config) { c.Source = nil },
		"no route":  func(c *Config) { c.Routes = nil },
		"header":    func(c *Config) { c.MaxHeader = -1 },
		"body":      func(c *Config) { c.MaxBody = -1 },
		"time":      func(c *Config) { c.AnswerTime = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	b, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Add(ChildConfig{Supervisor: -1}); err == nil {
		t.Error("a negative supervisor")
	}
	if _, err := b.Add(ChildConfig{Supervisor: 1}); err != nil {
		t.Error(err)
	}
	if _, err := b.Add(ChildConfig{Supervisor: 1}); err == nil {
		t.Error("two children with one supervisor")
	}
	b.Close()
	if _, err := b.Add(ChildConfig{}); err == nil {
		t.Error("a child of a closed broker")
	}
	if _, err := b.Listen("127.0.0.1:0"); err == nil {
		t.Error("a listener of a closed broker")
	}
}
