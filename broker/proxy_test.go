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
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
)

// TestRenewal has an upstream refuse a token.
func TestRenewal(t *testing.T) {
	large := strings.Repeat("x", maxReplay+1)
	for _, test := range []struct {
		name   string
		next   string // what the source has then
		body   string
		all    bool // nothing is good
		status int
		want   int // requests at the upstream
	}{
		{"another token", newerToken, "", false, 200, 2},
		{"another token, and a body", newerToken, "a body", false, 200, 2},
		{"another token, and a session key", sessionKey, "", false, 200, 2},
		{"a body that was not kept", newerToken, large, false, 401, 1},
		{"no other token", "", "", false, 401, 1},
		{"another token that is refused, too", newerToken, "", true, 401, 2},
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
				useHTTP2(w.client)
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

// TestFailures has the broker answer itself.
func TestFailures(t *testing.T) {
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
		{name: "nobody there", configure: func(c *Config) { c.Routes[0].Upstream = "http://127.0.0.1:1" }, status: 502, reason: UpstreamFailed},
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

// TestUpstreamEnds has an upstream end in the middle of an answer: the child gets what came, and sees
// that it was not all.
func TestUpstreamEnds(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, length := range []string{"100", "100000", ""} {
			for _, some := range []string{"some", ""} {
				var log bytes.Buffer
				w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
					if length != "" {
						w.Header().Set("Content-Length", length)
					}
					w.WriteHeader(200)
					io.WriteString(w, some)
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
				if proto == "HTTP/2.0" {
					useHTTP2(w.client)
				}
				response, err := w.client.Do(w.request("GET", "/", nil))
				if err != nil {
					t.Errorf("%s, length %q: %v", proto, length, err)
					continue
				}
				got, err := io.ReadAll(response.Body)
				response.Body.Close()
				if string(got) != some || err == nil || response.StatusCode != 200 {
					t.Errorf("%s, length %q: %s %q %v", proto, length, response.Status, got, err)
				}
				if r := w.records.last(t, 1); r.Status != 200 || r.Reason != UpstreamFailed || r.Sent != int64(len(some)) {
					t.Errorf("%s, length %q: %+v", proto, length, r)
				}
				w.broker.Close()
				if !strings.Contains(log.String(), "an upstream fails") {
					t.Errorf("%s, length %q: %s", proto, length, log.String())
				}
			}
		}
	}
}

// TestStreamsKnownLength passes on what came of an answer whose length is known, and for one that
// is long its header alone.
func TestStreamsKnownLength(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, test := range []struct {
			some string
			rest int
		}{{"some", 1000}, {"some", 100_000}, {"", 100_000}} {
			some, rest := test.some, strings.Repeat("x", test.rest)
			on := make(chan struct{})
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(len(some)+len(rest)))
				w.WriteHeader(200)
				io.WriteString(w, some)
				w.(http.Flusher).Flush()
				select {
				case <-on:
					io.WriteString(w, rest)
				case <-r.Context().Done():
				}
			}, nil)
			if proto == "HTTP/2.0" {
				useHTTP2(w.client)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // or all would wait for one another
			defer cancel()
			response, err := w.client.Do(w.request("GET", "/", nil).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(some))
			_, err = io.ReadFull(response.Body, got)
			close(on)
			if all, e2 := io.ReadAll(response.Body); string(got) != some || string(all) != rest || err != nil || e2 != nil {
				t.Errorf("%s: %q and %d bytes, %v, %v", proto, got, len(all), err, e2)
			}
			response.Body.Close()
			if r := w.records.last(t, 1); r.Reason != "" || r.Sent != int64(len(some)+len(rest)) {
				t.Errorf("%s: %+v", proto, r)
			}
		}
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
						useHTTP2(w.client)
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

// sendByHTTP2 returns what has a broker send to a handler by HTTP/2.
func sendByHTTP2(t *testing.T, handler http.HandlerFunc) func(*Config) {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := newTransport(answerTime)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	return func(c *Config) { c.Transport, c.Routes[0].Upstream = transport, server.URL }
}

// TestUpstreamHTTP2 sends to an upstream by HTTP/2, as it offers.
func TestUpstreamHTTP2(t *testing.T) {
	w := newWorld(t, echo, sendByHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, " ", r.RequestURI, " ", r.Header.Get("Authorization"))
	}))
	if _, body := w.do(w.request("GET", "/a%2fb?c", nil)); body != "HTTP/2.0 /a%2Fb?c Bearer "+realToken {
		t.Errorf("%q", body)
	}
}

// TestNotModified has an upstream say by HTTP/2 how long the body would be that it does not send.
func TestNotModified(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, echo, func(c *Config) {
		sendByHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(http.StatusNotModified)
		})(c)
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	for n := range 2 { // over one connection
		if response, body := w.do(w.request("GET", "/", nil)); response.StatusCode != 304 || body != "" {
			t.Errorf("%s %q", response.Status, body)
		}
		if r := w.records.last(t, 1+n); r.Status != 304 || r.Reason != "" {
			t.Errorf("%+v", r)
		}
	}
	w.broker.Close()
	if log.Len() > 0 {
		t.Error(log.String())
	}
}

// TestRefusedEarly has an upstream refuse a token when it has seen a request's header alone, as can be
// with HTTP/2: the request is sent again when the rest of its body has come.
func TestRefusedEarly(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			refused := make(chan struct{}, 4)
			w := newWorld(t, echo, sendByHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer "+realToken {
					w.Header().Set("WWW-Authenticate", "Bearer")
					w.WriteHeader(http.StatusUnauthorized)
					io.WriteString(w, "refused")
					w.(http.Flusher).Flush()
					refused <- struct{}{}
					return
				}
				io.Copy(w, r.Body)
			}))
			if proto == "HTTP/2.0" {
				useHTTP2(w.client)
			}
			for _, test := range []struct {
				next string // the token after the refused one
				rest string // of the body, which never ends without
				want string
			}{
				{realToken + "-next", ", and ended", "200 begun, and ended"},
				{realToken + "-next", "", "401 refused"},
				{"", "", "401 refused"},
			} {
				w.token.set(t, realToken, "")
				w.token.next = ingressauth.Token{}
				if test.next != "" {
					w.token.next = tokenOf(t, test.next, "")
				}
				body, rest := io.Pipe()
				go func() {
					io.WriteString(rest, "begun")
					<-refused
					if test.rest != "" {
						time.Sleep(50 * time.Millisecond) // in which the broker has the refusal
						io.WriteString(rest, test.rest)
						rest.Close()
					}
				}()
				response, got := w.do(w.request("POST", "/x", body))
				if got := fmt.Sprint(response.StatusCode, " ", got); got != test.want {
					t.Errorf("%q: %q", test, got)
				}
				rest.Close()
			}
		})
	}
}
