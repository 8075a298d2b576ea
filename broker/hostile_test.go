package broker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/internal/phantom"
)

// The broker among children and upstreams that do what they should not.

// upstreamOf is one that does with a connection what it likes.
func upstreamOf(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	return "http://" + l.Addr().String()
}

// readHead reads to the end of a request's head.
func readHead(c io.Reader) *bufio.Reader {
	r := bufio.NewReader(c)
	for {
		if line, err := r.ReadString('\n'); err != nil || line == "\r\n" {
			return r
		}
	}
}

// open connects, and sends the head of a request with these fields.
func (w *world) open(line string, fields ...string) net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.port.inner.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n", line, w.port.inner.Addr(), w.child.Phantom().Reveal(), strings.Join(append(fields, ""), "\r\n"))
	return c
}

// soon wants something to end soon.
func soon(t testing.TB, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("%s takes too long", what)
	}
}

// TestMethods sends none on that would have a server show what it got, or make a tunnel.
func TestMethods(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }, nil)
	for _, method := range []string{"TRACE", "Trace", "TRACK", "CONNECT"} {
		response, body := w.do(w.request(method, "/", nil))
		if method == "CONNECT" { // whose answer has no body to a client
			if response.StatusCode != 400 {
				t.Errorf("%s: %s", method, response.Status)
			}
		} else if reason := reasonOf(t, response, body); reason != Malformed {
			t.Errorf("%s: %s", method, response.Status)
		}
		if _, err := newRule(method + " /"); err == nil {
			t.Errorf("a rule allows %s", method)
		}
	}
}

// TestHeadHTTP2 refuses what HTTP/2 lets through and HTTP/1.1 does not.
func TestHeadHTTP2(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) { t.Error("the upstream was asked") }, nil)
	phantom := w.child.Phantom().Reveal()
	for _, fields := range [][2]string{{"GET / x", ""}, {"GET", "other.example"}} {
		c, err := net.Dial("tcp", w.port.inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Literals without indexing (RFC 7541, section 6.2.2).
		var block []byte
		for _, f := range [][2]string{
			{":method", fields[0]}, {":scheme", "http"}, {":path", "/"}, {":authority", w.port.inner.Addr().String()},
			{"authorization", "Bearer " + phantom}, {"host", fields[1]},
		} {
			if f[0] != "host" || f[1] != "" {
				block = append(append(append(append(block, 0, byte(len(f[0]))), f[0]...), byte(len(f[1]))), f[1]...)
			}
		}
		io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		c.Write(append([]byte{0, 0, byte(len(block)), 1, 5, 0, 0, 0, 1}, block...))
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		var got []byte
		for buffer := make([]byte, 1024); !bytes.Contains(got, []byte("#Malformed")); {
			n, err := c.Read(buffer)
			if got = append(got, buffer[:n]...); err != nil {
				t.Errorf("%q: %q %v", fields, got, err)
				break
			}
		}
	}
}

// TestOverrides refuses fields that would have a rule be about another request.
func TestOverrides(t *testing.T) {
	for _, rules := range [][]string{nil, {"GET /"}} {
		w := newWorld(t, echo, func(c *Config) { c.Routes[0].Allow = rules })
		for _, name := range overrides {
			r := w.request("GET", "/", nil)
			r.Header.Set(name, "DELETE")
			if response, _ := w.do(r); (response.StatusCode == 400) != (rules != nil) {
				t.Errorf("rules %v, %s: %s", rules, name, response.Status)
			}
			for _, c := range []string{"_", "."} {
				r := w.request("GET", "/", nil)
				r.Header[strings.ReplaceAll(name, "-", c)] = []string{"DELETE"}
				if response, _ := w.do(r); response.StatusCode != 400 {
					t.Errorf("%s with %s: %s", name, c, response.Status)
				}
			}
		}
	}
}

// TestRemoveEnds has a child be removed, and the broker be closed, while something is under way that
// neither end lets end.
func TestRemoveEnds(t *testing.T) {
	for _, test := range []struct {
		name  string
		serve func(c net.Conn, ended <-chan struct{})
		start func(w *world)
	}{
		{"an upload that the upstream does not read", func(c net.Conn, ended <-chan struct{}) { <-ended }, func(w *world) {
			c := w.open("POST /", "Content-Length: 100000000")
			c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			c.Write(make([]byte, 100_000_000))
		}},
		{"an upload that nobody goes on with", func(c net.Conn, ended <-chan struct{}) { readHead(c); <-ended }, func(w *world) {
			w.open("POST /", "Content-Length: 5")
		}},
		{"a stream, and another request behind it", func(c net.Conn, ended <-chan struct{}) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
			<-ended
		}, func(w *world) {
			c := w.open("GET /")
			io.WriteString(c, "GET / HTTP/1.1\r\n")
			c.Read(make([]byte, 1000))
		}},
		{"a body that waits for leave", func(c net.Conn, ended <-chan struct{}) { readHead(c); <-ended }, func(w *world) {
			w.open("POST /", "Content-Length: 5", "Expect: 100-continue")
		}},
		{"more and more before the answer, which the child does not read", func(c net.Conn, ended <-chan struct{}) {
			readHead(c)
			for i := 0; i < 1000; i++ {
				c.SetWriteDeadline(time.Now().Add(time.Second))
				if _, err := fmt.Fprintf(c, "HTTP/1.1 103 Early Hints\r\nLink: %s\r\n\r\n", strings.Repeat("x", 10_000)); err != nil {
					return
				}
			}
			<-ended
		}, func(w *world) { w.open("GET /") }},
		{"an answer that the child does not read", func(c net.Conn, ended <-chan struct{}) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
				if _, err := c.Write(make([]byte, 1<<20)); err != nil {
					break
				}
			}
			<-ended
		}, func(w *world) { w.open("GET /") }},
	} {
		for _, how := range []string{"removed", "closed"} {
			t.Run(test.name+"/"+how, func(t *testing.T) {
				ended, there := make(chan struct{}), make(chan struct{}, 1)
				defer close(ended)
				upstream := upstreamOf(t, func(c net.Conn) {
					there <- struct{}{}
					test.serve(c, ended)
				})
				w := newWorld(t, echo, func(c *Config) { c.Routes[0].Upstream = upstream })
				test.start(w)
				<-there
				time.Sleep(20 * time.Millisecond)
				if how == "removed" {
					soon(t, "Remove", w.child.Remove)
					soon(t, "the request", w.broker.open.wait)
				}
				soon(t, "Close", func() { w.broker.Close() })
				w.broker.lock.Lock()
				defer w.broker.lock.Unlock()
				if n := len(w.broker.connections); n > 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		}
	}
}

// TestForeignWebSocket is nobody's, and ends with the broker.
func TestForeignWebSocket(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		c.Read(make([]byte, 1))
	}, func(c *Config) { c.PassForeign = true })
	c, err := net.Dial("tcp", w.port.inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer mine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", w.port.inner.Addr())
	if response, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || response.StatusCode != 101 {
		t.Fatal(response, err)
	}
	soon(t, "Close", func() { w.broker.Close() })
}

// TestGateStaysShut sends, behind what asked for a WebSocket and got none, what the gate would
// refuse.
func TestGateStaysShut(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			t.Error("the upstream got what was not looked at")
		}
	}, nil)
	address := w.port.inner.Addr().String()
	head := "Host: " + address + "\r\nAuthorization: Bearer " + w.child.Phantom().Reveal() + "\r\n"
	smuggled := "POST /smuggled HTTP/1.1\n" + head + "Content-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	for _, first := range []string{
		"OPTIONS * HTTP/1.1\r\n" + head + "Upgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\n" + head + "Upgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: " + address + "\r\nUpgrade: websocket\r\n\r\n", // refused
		"GET / HTTP/1.1\r\n" + head + "Connection: upgrade\r\nUpgrade: websocket, foo\r\n\r\n",
		"GET / HTTP/1.1\r\n" + head + "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: foo\r\n\r\n",
	} {
		if statuses, _ := exchangeRaw(t, address, first+smuggled, false, 2); len(statuses) != 1 {
			t.Errorf("%q: %v", first, statuses)
		}
	}
}

// TestLogShowsNoToken has an upstream put the token where an error quotes it.
func TestLogShowsNoToken(t *testing.T) {
	var b bytes.Buffer
	upstream := upstreamOf(t, func(c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nNo colon "+realToken+"\r\n\r\n")
	})
	w := newWorld(t, echo, func(c *Config) {
		c.Routes[0].Upstream, c.Log = upstream, slog.New(slog.NewTextHandler(&b, nil))
	})
	response, body := w.do(w.request("GET", "/", nil))
	if reason := reasonOf(t, response, body); reason != UpstreamFailed {
		t.Errorf("%s", response.Status)
	}
	w.broker.Close()
	if text := b.String(); !strings.Contains(text, "an upstream fails") || strings.Contains(text, realToken) {
		t.Errorf("the log says %s", text)
	}
}

// TestStaleStream ends what was begun with a token that was replaced, which is no failure of the
// upstream, and nothing of which the length is known.
func TestStaleStream(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		more := make(chan struct{})
		rest := strings.Repeat("x", 100_000)
		var log bytes.Buffer
		w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/known" {
				w.Header().Set("Content-Length", strconv.Itoa(len("begun")+len(rest)))
			}
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			select {
			case <-more:
				io.WriteString(w, rest)
			case <-r.Context().Done():
			}
		}, func(c *Config) { c.CloseOnRotate, c.Log = true, slog.New(slog.NewTextHandler(&log, nil)) })
		if proto == "HTTP/2.0" {
			useHTTP2(w.client)
		}
		var bodies []io.Reader
		for _, path := range []string{"/stream", "/known"} {
			response, err := w.client.Do(w.request("GET", path, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			bodies = append(bodies, response.Body)
		}
		w.token.set(t, newerToken, "")
		if b, err := io.ReadAll(bodies[0]); string(b) != "begun" || err == nil {
			t.Errorf("%s: %q, %v", proto, b, err)
		}
		close(more)
		if b, err := io.ReadAll(bodies[1]); string(b) != "begun"+rest || err != nil {
			t.Errorf("%s: %d bytes, %v", proto, len(b), err)
		}
		for n := range 2 {
			if r := w.records.last(t, 1+n); r.Status != 200 || r.Reason != "" {
				t.Errorf("%s: %+v", proto, r)
			}
		}
		w.broker.Close()
		if log.Len() > 0 {
			t.Errorf("%s: %s", proto, log.String())
		}
	}
}

// TestBodyTooLongLate has a body be too long when an answer to it was begun, which is no failure of
// the upstream.
func TestBodyTooLongLate(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		var log bytes.Buffer
		w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.(http.Flusher).Flush()
			io.Copy(w, r.Body)
		}, func(c *Config) { c.MaxBody, c.Log = 200_000, slog.New(slog.NewTextHandler(&log, nil)) })
		if proto == "HTTP/2.0" {
			useHTTP2(w.client)
		}
		body, pipe := io.Pipe()
		response, err := w.client.Do(w.request("POST", "/", body))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			pipe.Write(make([]byte, 300_000))
			pipe.Close()
		}()
		if b, err := io.ReadAll(response.Body); err == nil {
			t.Errorf("%s: %d bytes", proto, len(b))
		}
		response.Body.Close()
		if r := w.records.last(t, 1); r.Status != 200 || r.Reason != "" {
			t.Errorf("%s: %+v", proto, r)
		}
		w.broker.Close()
		if log.Len() > 0 {
			t.Errorf("%s: %s", proto, log.String())
		}
	}
}

// TestRenewedStream goes on with the token that it was sent with in the end.
func TestRenewedStream(t *testing.T) {
	more := make(chan struct{})
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+newerToken {
			w.WriteHeader(401)
			return
		}
		io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		<-more
	}, func(c *Config) { c.CloseOnRotate = true })
	w.token.next = tokenOf(t, newerToken, "")
	response, err := w.client.Do(w.request("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	time.Sleep(3 * watchTime)
	close(more)
	if b, err := io.ReadAll(response.Body); string(b) != "begun" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

// TestTargetHTTP2 refuses a target that would be another request line, or that clients do not send
// whole.
func TestTargetHTTP2(t *testing.T) {
	w := newWorld(t, echo, nil)
	useHTTP2(w.client)
	for _, target := range []string{"/?a HTTP/1.1", "/?a\xff", "/?a#b", "/a HTTP/1.1", "/a\xff", "/a#b"} {
		r := w.request("GET", "/", nil)
		r.URL.Opaque = target
		if response, body := w.do(r); reasonOf(t, response, body) != Malformed {
			t.Errorf("%q: %s", target, response.Status)
		}
	}
}

// TestObservePanics has a hook go wrong, which is said and holds nothing up.
func TestObservePanics(t *testing.T) {
	var b bytes.Buffer
	w := newWorld(t, echo, func(c *Config) {
		c.Observe, c.Log = func(Record) { panic("hook") }, slog.New(slog.NewTextHandler(&b, nil))
	})
	if response, err := w.client.Do(w.request("GET", "/", nil)); err == nil {
		response.Body.Close()
	}
	soon(t, "Close", func() { w.broker.Close() })
	if !strings.Contains(b.String(), "hook") {
		t.Errorf("the log says %s", b.String())
	}
}

// TestIdleConnections are closed with the child, and when it expires.
func TestIdleConnections(t *testing.T) {
	for _, how := range []string{"removed", "expired"} {
		w := newWorld(t, echo, nil)
		var c net.Conn
		var in *bufio.Reader
		// One that has expired before its request was answered lives longer the next time.
		for life := 200 * time.Millisecond; ; life *= 2 {
			if how == "expired" {
				var err error
				if w.child, err = w.broker.Add(ChildConfig{Expires: time.Now().Add(life)}); err != nil {
					t.Fatal(err)
				}
			}
			c = w.open("GET /")
			in = bufio.NewReader(c)
			response, err := http.ReadResponse(in, nil)
			if (err != nil || response.StatusCode == 401) && how == "expired" && life < 10*time.Second {
				continue // before it came, or while it was under way
			}
			if err != nil || response.StatusCode != 200 {
				t.Fatal(response, err)
			}
			io.Copy(io.Discard, response.Body)
			break
		}
		if how == "removed" {
			w.child.Remove()
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := in.ReadByte(); err != io.EOF && !strings.Contains(fmt.Sprint(err), "reset") {
			t.Errorf("%s: %v", how, err)
		}
	}
}

// TestStress has clients of both protocols come and go at random, upstreams do odd things, and
// children end: nothing is left in the end.
func TestStress(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		switch rand.IntN(6) {
		case 0:
			for range 5 {
				w.Header().Set("Link", "</a>")
				w.WriteHeader(http.StatusEarlyHints)
			}
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			io.Copy(io.Discard, r.Body)
		case 3:
			io.WriteString(w, strings.Repeat("x", 10_000))
			w.(http.Flusher).Flush()
		case 4:
			w.WriteHeader(401)
		}
		io.WriteString(w, "end")
	}, func(c *Config) { c.ScrubBodies, c.CloseOnRotate = true, true })
	end := time.Now().Add(time.Second)
	var clients sync.WaitGroup
	for i := range 8 {
		client := newClient(t)
		if i%2 == 0 {
			useHTTP2(client)
		}
		clients.Go(func() {
			for time.Now().Before(end) {
				child, err := w.broker.Add(ChildConfig{})
				if err != nil {
					t.Error(err)
					return
				}
				for range 10 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(3000))*time.Microsecond)
					r, _ := http.NewRequestWithContext(ctx, "POST", w.port.URL(), io.MultiReader(strings.NewReader(strings.Repeat("y", rand.IntN(20_000)))))
					child.Phantom().SetHeader(r.Header)
					if rand.IntN(3) == 0 {
						r.Header.Set("Expect", "100-continue")
					}
					if response, err := client.Do(r); err == nil {
						io.Copy(io.Discard, response.Body)
						response.Body.Close()
					}
					cancel()
				}
				child.Remove()
			}
		})
	}
	clients.Go(func() {
		for time.Now().Before(end) {
			w.token.set(t, "sk-ant-cc-made-up-"+phantom.New(false), "")
			time.Sleep(10 * time.Millisecond)
		}
	})
	clients.Wait()
	soon(t, "the last request", w.broker.open.wait)
	soon(t, "Close", func() { w.broker.Close() })
}

// TestUpstreamEndsInUpgrade has an upstream end when it is asked for a WebSocket.
func TestUpstreamEndsInUpgrade(t *testing.T) {
	for _, says := range []string{"", "HTTP/1.1 101 Switching", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"} {
		upstream := upstreamOf(t, func(c net.Conn) {
			readHead(c)
			io.WriteString(c, says)
		})
		w := newWorld(t, echo, func(c *Config) { c.Routes[0].Upstream = upstream })
		c, response := w.dial("")
		if whole := strings.HasSuffix(says, "\r\n\r\n"); !whole && response.StatusCode != 502 || whole && response.StatusCode != 101 {
			t.Errorf("after %q: %s", says, response.Status)
		}
		io.Copy(io.Discard, response.Body)
		if _, err := c.in.ReadByte(); err == nil {
			t.Errorf("after %q: the connection goes on", says)
		}
		soon(t, "Close", func() { w.broker.Close() })
	}
}

// TestHints passes on so many of what comes before an answer, and no more.
func TestHints(t *testing.T) {
	upstream := upstreamOf(t, func(c net.Conn) {
		readHead(c)
		io.WriteString(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 2*maxHints)+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	w := newWorld(t, echo, func(c *Config) { c.Routes[0].Upstream = upstream })
	c := w.open("GET /", "Connection: close")
	b, err := io.ReadAll(c)
	if n := strings.Count(string(b), " 103 "); n != maxHints || !strings.Contains(string(b), " 200 ") || err != nil {
		t.Errorf("%d, %v: %s", n, err, b)
	}
}

// TestFlood gives up on an upstream that never comes to its answer.
func TestFlood(t *testing.T) {
	upstream := upstreamOf(t, func(c net.Conn) {
		readHead(c)
		for {
			if _, err := io.WriteString(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100)); err != nil {
				return
			}
		}
	})
	w := newWorld(t, echo, func(c *Config) { c.Routes[0].Upstream = upstream })
	soon(t, "an answer", func() {
		if response, body := w.do(w.request("GET", "/", nil)); reasonOf(t, response, body) != UpstreamFailed {
			t.Error(response.Status)
		}
	})
}

// TestTrailerOverrides keeps from a trailer what would have a rule be about another request.
func TestTrailerOverrides(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer)
	}, nil)
	r := w.request("POST", "/", strings.NewReader("x"))
	r.ContentLength = -1
	r.Trailer = http.Header{"X-A": {"1"}}
	for _, name := range overrides {
		r.Trailer[name] = []string{"DELETE"}
	}
	if _, body := w.do(r); strings.Contains(body, "DELETE") || !strings.Contains(body, "X-A:[1]") {
		t.Error(body)
	}
}

// TestTrailerOfUpstream keeps from a child what means nothing after a body.
func TestTrailerOfUpstream(t *testing.T) {
	upstream := upstreamOf(t, func(c net.Conn) {
		bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A, Authorization\r\n\r\n1\r\nx\r\n0\r\n"+
			"X-A: 1\r\nAuthorization: x\r\nWww-Authenticate: x\r\nIf-Match: x\r\nSet-Cookie: x=y\r\nContent-Type: text/html\r\n\r\n")
		c.Close()
	})
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		var log bytes.Buffer
		w := newWorld(t, echo, func(c *Config) {
			c.Routes[0].Upstream, c.Log = upstream, slog.New(slog.NewTextHandler(&log, nil))
		})
		if proto == "HTTP/2.0" {
			useHTTP2(w.client)
		}
		response, body := w.do(w.request("GET", "/", nil))
		if want := (http.Header{"X-A": {"1"}}); body != "x" || !reflect.DeepEqual(response.Trailer, want) {
			t.Errorf("%s: %q %v", proto, body, response.Trailer)
		}
		w.broker.Close()
		if log.Len() > 0 {
			t.Errorf("%s: %s", proto, log.String())
		}
	}
}

// TestLocalhost has somebody else listen where localhost could be, too.
func TestLocalhost(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(echo))
	defer service.Close()
	_, port, _ := net.SplitHostPort(service.Listener.Addr().String())
	other, err := net.Listen("tcp", net.JoinHostPort("::1", port))
	if err != nil {
		t.Skip("needs IPv6: ", err)
	}
	defer other.Close()
	go func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			t.Error("somebody else was asked")
			c.Close()
		}
	}()
	w := newWorld(t, echo, func(c *Config) { c.Routes[0].Upstream = "http://localhost:" + port })
	if response, _ := w.do(w.request("GET", "/", nil)); response.StatusCode != http.StatusOK {
		t.Error(response.Status)
	}
}

// TestProxy has a transport that would show the token to a proxy.
func TestProxy(t *testing.T) {
	proxy := func(*http.Request) (*url.URL, error) { return url.Parse("http://proxy.example") }
	for upstream, good := range map[string]bool{"http://127.0.0.1:1": false, "https://service.example": true} {
		b, err := New(Config{Source: new(rotating), Routes: []Route{{Upstream: upstream}}, Transport: &http.Transport{Proxy: proxy}})
		if (err == nil) != good {
			t.Errorf("%s: %v", upstream, err)
		}
		if err == nil {
			b.Close()
			b.Close() // as often as one likes
		}
	}
}

// TestFailingIsSaidOnce has an upstream fail, and answer again.
func TestFailingIsSaidOnce(t *testing.T) {
	var b bytes.Buffer
	var fails atomic.Bool
	fails.Store(true)
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			io.WriteString(w, "some")
			w.(http.Flusher).Flush()
		}
		if fails.Load() {
			panic(http.ErrAbortHandler)
		}
	}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&b, nil)) })
	get := func() {
		response, _ := w.do(w.request("GET", "/", nil))
		response.Body.Close()
	}
	get()
	for range 3 {
		response, err := w.client.Do(w.request("GET", "/begun", nil))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	get()
	fails.Store(false)
	get()
	get()
	w.token.set(t, phantom.New(false), "")
	get()
	get()
	w.token.set(t, realToken, "")
	get()
	w.child.Remove()
	w.child.Remove() // as often as one likes
	w.broker.Close()
	for said, n := range map[string]int{"an upstream fails": 1, "the upstream answers again": 1, "there is no token for requests\"": 1, "there is a token for requests again": 1} {
		if strings.Count(b.String(), said) != n {
			t.Errorf("%q is not said once: %s", said, b.String())
		}
	}
}

// TestManyNames counts so many children by name, and the rest without.
func TestManyNames(t *testing.T) {
	var m meter
	for i := range maxKeys + 100 {
		m.count(&Record{Child: fmt.Sprint(i)}, new(counted))
	}
	if len(m.requests) != maxKeys+1 || m.requests[key{}].requests != 100 {
		t.Errorf("%d keys, %+v", len(m.requests), m.requests[key{}])
	}
}

// TestSlowHeader has clients begin a header and not end it, the first and a later one.
func TestSlowHeader(t *testing.T) {
	t.Parallel() // as it takes its time
	for _, before := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		t.Run(before, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, echo, nil)
			c, err := net.Dial("tcp", w.port.inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begun := time.Now() // which is before the time of a head begins
			io.WriteString(c, before+"GET / HT")
			c.SetReadDeadline(begun.Add(3 * headTime))
			b, err := io.ReadAll(c)
			if took := time.Since(begun); err != nil || took < headTime/2 || strings.Contains(string(b), "421") != (before != "") {
				t.Errorf("after %v: %q, %v", took, b, err)
			}
		})
	}
}

// TestNoStatus has an upstream answer with a status that there is not.
func TestNoStatus(t *testing.T) {
	upstream := upstreamOf(t, func(c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 042 What\r\nContent-Length: 0\r\n\r\n")
	})
	w := newWorld(t, echo, func(c *Config) { c.Routes[0].Upstream = upstream })
	if response, body := w.do(w.request("GET", "/", nil)); reasonOf(t, response, body) != UpstreamFailed {
		t.Errorf("%s", response.Status)
	}
}

// TestUnwantedBody has requests be refused whose body never comes.
func TestUnwantedBody(t *testing.T) {
	w := newWorld(t, echo, nil)
	address := w.port.inner.Addr().String()
	for line, want := range map[string]string{"POST /": "401", "TRACE /": "400", "OPTIONS *": "401"} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\n\r\n", line, address)
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 "+want) {
			t.Errorf("%s: %q, %v", line, b, err)
		}
	}
}

// TestEarlyAnswer has upstreams answer before they have the whole body, of which the rest never
// comes; and a stream that waits for one not hold up the others.
func TestEarlyAnswer(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.NewResponseController(w).EnableFullDuplex() // or HTTP/1.1 waits for the body itself
				w.Header().Set("X-Proto", r.Proto)
				w.WriteHeader(http.StatusForbidden)
			}))
			server.EnableHTTP2 = proto == "HTTP/2.0"
			server.StartTLS()
			t.Cleanup(server.Close)
			transport := newTransport(answerTime)
			transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
			transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
			transport.ForceAttemptHTTP2 = server.EnableHTTP2
			w := newWorld(t, echo, func(c *Config) { c.Transport, c.Routes[0].Upstream = transport, server.URL })
			c := w.open("POST /", "Transfer-Encoding: chunked")
			io.WriteString(c, "1\r\nx\r\n")
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			response, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || response.StatusCode != http.StatusForbidden || response.Header.Get("X-Proto") != proto {
				t.Fatal(response, err)
			}
			soon(t, "Close", func() { w.broker.Close() })
		})
	}
}

// TestSplitPreface has the beginning of HTTP/2 come in two pieces, and the connection live on.
func TestSplitPreface(t *testing.T) {
	g := newGate(stream{Reader: io.MultiReader(strings.NewReader(preface[:5]), strings.NewReader(preface[5:]+"rest"))}, 1000)
	if b, err := io.ReadAll(g); string(b) != preface+"rest" || err != nil || !g.headEnd.IsZero() {
		t.Errorf("%q, %v, until %v", b, err, g.headEnd)
	}
}
