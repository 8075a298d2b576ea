package broker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// wire is an upstream that keeps what it got, a request each.
type wire struct {
	lock sync.Mutex
	got  []string
}

func (u *wire) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
	r.Header.Write(&b)
	fmt.Fprintf(&b, "%v %s\n%q %v %v", r.ContentLength, r.TransferEncoding, body, err, r.Trailer)
	u.lock.Lock()
	u.got = append(u.got, b.String())
	u.lock.Unlock()
	w.Write([]byte("ok"))
}

func (u *wire) take() []string {
	u.lock.Lock()
	defer u.lock.Unlock()
	got := u.got
	u.got = nil
	return got
}

// exchangeRaw sends bytes, and then ends or waits for so many answers. It returns their statuses,
// and the last one's body.
func exchangeRaw(t testing.TB, address, text string, ends bool, n int) (statuses []int, body string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		io.WriteString(c, text)
		if ends {
			c.(*net.TCPConn).CloseWrite()
		}
	}()
	in := bufio.NewReader(c)
	for len(statuses) < n {
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses, body
		}
		b, _ := io.ReadAll(response.Body)
		statuses, body = append(statuses, response.StatusCode), string(b)
		if len(statuses) == n && response.StatusCode == http.StatusBadRequest { // and that is all
			n++
		}
	}
	return statuses, body
}

// TestSmuggling sends what proxies and servers have read in different ways. What is not refused
// reaches the upstream as just one request, of which there is one reading.
func TestSmuggling(t *testing.T) {
	u := new(wire)
	w := newWorld(t, u.ServeHTTP, func(c *Config) { c.Routes[0].Allow = []string{"* /"} })
	address := w.port.inner.Addr().String()
	auth := "Authorization: Bearer " + w.child.Phantom().Reveal() + "\r\n"
	head := "Host: " + address + "\r\n" + auth
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, test := range []struct {
		name, text string
		status     []int  // of the answers
		reaches    string // how the one request that the upstream gets begins; "" if none
	}{
		{"plain", "GET /a HTTP/1.1\r\n" + head + "\r\n", []int{200}, "GET /a"},
		{"two, one after the other", "GET /a HTTP/1.1\r\n" + head + "\r\nGET /b HTTP/1.1\r\n" + head + "\r\n", []int{200, 200}, "GET /a"},
		{"length", "POST /a HTTP/1.1\r\n" + head + "Content-Length: 3\r\n\r\nabc", []int{200}, "POST /a"},
		{"chunked", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", []int{200}, "POST /a"},
		{"chunked, with an extension and a trailer", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", []int{200}, "POST /a"},
		{"an empty line first", "\r\nGET /a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"HTTP/1.0", "GET /a HTTP/1.0\r\n" + head + "\r\n", []int{200}, "GET /a"},

		{"length and chunked", "POST /a HTTP/1.1\r\n" + head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, []int{400}, ""},
		{"chunked and length", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled, []int{400}, ""},
		{"two lengths", "POST /a HTTP/1.1\r\n" + head + "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", []int{400}, ""},
		{"the same length twice", "POST /a HTTP/1.1\r\n" + head + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", []int{400}, ""},
		{"a list of lengths", "POST /a HTTP/1.1\r\n" + head + "Content-Length: 3, 3\r\n\r\nabc", []int{400}, ""},
		{"a signed length", "POST /a HTTP/1.1\r\n" + head + "Content-Length: +3\r\n\r\nabc", []int{400}, ""},
		{"a negative length", "POST /a HTTP/1.1\r\n" + head + "Content-Length: -3\r\n\r\nabc", []int{400}, ""},
		{"a hexadecimal length", "POST /a HTTP/1.1\r\n" + head + "Content-Length: 0x3\r\n\r\nabc", []int{400}, ""},
		{"an empty length", "POST /a HTTP/1.1\r\n" + head + "Content-Length: \r\n\r\n", []int{400}, ""},
		{"a length beyond all", "POST /a HTTP/1.1\r\n" + head + "Content-Length: 99999999999999999999\r\n\r\n", []int{400}, ""},
		{"chunked twice", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"chunked, and identity", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"gzip, chunked", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"identity", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", []int{400}, ""},
		{"xchunked", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"chunked with a vertical tab", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding:\vchunked\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"chunked, in a folded line", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"a space before the colon", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"chunked in HTTP/1.0", "POST /a HTTP/1.0\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"a length with an underscore", "POST /a HTTP/1.1\r\n" + head + "Content_Length: 30\r\nContent-Length: 3\r\n\r\nabc", []int{400}, ""},
		{"a coding with a dot", "POST /a HTTP/1.1\r\n" + head + "Transfer.Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", []int{400}, ""},

		{"a bare LF after the request line", "GET /a HTTP/1.1\n" + head + "\r\n", []int{400}, ""},
		{"a bare LF after a field", "GET /a HTTP/1.1\r\n" + head + "X-A: 1\nX-B: 2\r\n\r\n", []int{400}, ""},
		{"bare LFs at the end", "GET /a HTTP/1.1\r\n" + head + "X-A: 1\n\n", []int{400}, ""},
		{"a bare CR in a field", "GET /a HTTP/1.1\r\n" + head + "X-A: 1\rX-B: 2\r\n\r\n", []int{400}, ""},
		{"a folded line", "GET /a HTTP/1.1\r\n" + head + "X-A: 1\r\n\tX-B: 2\r\n\r\n", []int{400}, ""},
		{"a folded line first", "GET /a HTTP/1.1\r\n X-A: 1\r\n" + head + "\r\n", []int{400}, ""},
		{"NUL", "GET /a HTTP/1.1\r\n" + head + "X-A: 1\x002\r\n\r\n", []int{400}, ""},
		{"a field without a colon", "GET /a HTTP/1.1\r\n" + head + "X-A\r\n\r\n", []int{400}, ""},
		{"a field without a name", "GET /a HTTP/1.1\r\n" + head + ": 1\r\n\r\n", []int{400}, ""},
		{"a name with a space", "GET /a HTTP/1.1\r\n" + head + "X A: 1\r\n\r\n", []int{400}, ""},
		{"two empty lines first", "\r\n\r\nGET /a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"no version", "GET /a\r\n" + head + "\r\n", []int{400}, ""},
		{"HTTP/1.2", "GET /a HTTP/1.2\r\n" + head + "\r\n", []int{400}, ""},
		{"HTTP/2.0 that is not", "GET /a HTTP/2.0\r\n" + head + "\r\n", []int{400}, ""},
		{"a tab in the request line", "GET\t/a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"two spaces", "GET  /a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"a method that is no token", "G:T /a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"nothing but lines", "\r\n\r\n\r\n", []int{400}, ""},

		{"no Host", "GET /a HTTP/1.1\r\n" + auth + "\r\n", []int{400}, ""},
		{"two Hosts", "GET /a HTTP/1.1\r\n" + head + "Host: other.example\r\n\r\n", []int{400}, ""},
		{"another Host", "GET /a HTTP/1.1\r\nHost: other.example\r\n" + auth + "\r\n", []int{421}, ""},
		{"absolute form", "GET http://" + address + "/a?b HTTP/1.1\r\n" + head + "\r\n", []int{200}, "GET /a?b"},
		{"absolute form without a path", "GET http://" + address + " HTTP/1.1\r\n" + head + "\r\n", []int{200}, "GET / "},
		{"absolute form with a query only", "GET http://" + address + "?b HTTP/1.1\r\n" + head + "\r\n", []int{200}, "GET /?b"},
		{"absolute form, another host", "GET http://other.example/a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"absolute form, another Host", "GET http://" + address + "/a HTTP/1.1\r\nHost: other.example\r\n" + auth + "\r\n", []int{400}, ""},
		{"absolute form, https", "GET https://" + address + "/a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"user information", "GET http://u:p@" + address + "/a HTTP/1.1\r\nHost: u:p@" + address + "\r\n" + auth + "\r\n", []int{400}, ""},
		{"CONNECT", "CONNECT other.example:443 HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"an asterisk", "GET * HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"a percent sign alone", "GET /%zz HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"a Host with a space", "GET /a HTTP/1.1\r\nHost: a b\r\n" + auth + "\r\n", []int{400}, ""},
		{"absolute form, half a literal", "GET http://[::1/ HTTP/1.1\r\nHost: [::1\r\n" + auth + "\r\n", []int{400}, ""},
		{"a trailer that no trailer has", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\nTrailer: X-A, Transfer-Encoding\r\n\r\n0\r\n\r\n", []int{400}, ""},
		{"no slash", "GET a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"a fragment", "GET /a#b HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"two slashes", "GET //other.example/a HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"an encoded slash, with rules", "GET /a%2fb HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"dots before a semicolon, with rules", "GET /a/..;/b HTTP/1.1\r\n" + head + "\r\n", []int{400}, ""},
		{"dot segments", "GET /a/%2e%2e/b HTTP/1.1\r\n" + head + "\r\n", []int{200}, "GET /b"},

		{"a chunk longer than its size", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n" + smuggled, []int{400}, "cut"},
		{"a chunk's size with a sign", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", []int{400}, "cut"},
		{"a chunk's size with 0x", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", []int{400}, "cut"},
		{"a chunk's size with a space", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", []int{400}, "cut"},
		{"a chunk's size beyond all", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n1000000000000003\r\nabc\r\n0\r\n\r\n", []int{400}, "cut"},
		{"a bare LF after a chunk's size", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", []int{400}, "cut"},
		{"a bare LF in an extension", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n", []int{400}, "cut"},
		{"a chunk that is cut", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n3\r\nab", []int{400}, "cut"},
		{"a folded trailer", "POST /a HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\n X: 1\r\n\r\n", []int{400}, "cut"},
		{"a body that is cut", "POST /a HTTP/1.1\r\n" + head + "Content-Length: 5\r\n\r\nab", []int{400}, "cut"},

		{"an upgrade to h2c", "GET /a HTTP/1.1\r\n" + head + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nGET /b HTTP/1.1\r\n" + head + "\r\n", []int{200, 200}, "GET /a"},
		{"an upgrade to anything", "GET /a HTTP/1.1\r\n" + head + "Connection: Upgrade\r\nUpgrade: foo\r\n\r\n", []int{200}, "GET /a"},
		{"a WebSocket that is none, and a request in it", "GET /a HTTP/1.1\r\n" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /b HTTP/1.1\n\n", []int{200}, "GET /a"},
		{"Upgrade without Connection, and a request behind it", "GET /a HTTP/1.1\r\n" + head + "Upgrade: websocket\r\n\r\nGET /b HTTP/1.1\r\n" + head + "\r\n", []int{200}, "GET /a"},
		{"a WebSocket with a body", "GET /a HTTP/1.1\r\n" + head + "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc", []int{400}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			u.take()
			statuses, body := exchangeRaw(t, address, test.text, test.reaches == "cut", len(test.status))
			if fmt.Sprint(statuses) != fmt.Sprint(test.status) {
				t.Errorf("statuses %v, want %v: %s", statuses, test.status, body)
			}
			if test.status[0] >= 400 && !strings.Contains(body, problemType) {
				t.Errorf("the answer is no problem: %s", body)
			}
			got := u.take()
			switch test.reaches {
			case "":
				if len(got) > 0 {
					t.Errorf("the upstream got %q", got)
				}
			case "cut":
				for _, g := range got { // a request that is never whole
					if !strings.Contains(g, "unexpected EOF") || strings.Contains(g, "smuggled") {
						t.Errorf("the upstream got %q", g)
					}
				}
			default:
				got = slices.DeleteFunc(got, func(g string) bool { return strings.Contains(g, "unexpected EOF") }) // of the one before
				if len(got) != len(test.status) || !strings.HasPrefix(got[0], test.reaches) {
					t.Errorf("the upstream got %q", got)
				}
				for _, g := range got {
					for _, never := range []string{"Upgrade:", "Http2-Settings", "Connection:"} {
						if strings.Contains(g, never) && !strings.Contains(test.name, "WebSocket that") {
							t.Errorf("the upstream got %q", g)
						}
					}
				}
			}
		})
	}
}

// TestHeaderTooLong has a header that is longer than the bound be refused.
func TestHeaderTooLong(t *testing.T) {
	u := new(wire)
	w := newWorld(t, u.ServeHTTP, func(c *Config) { c.MaxHeader = 2000 })
	address := w.port.inner.Addr().String()
	statuses, body := exchangeRaw(t, address, "GET /a HTTP/1.1\r\nHost: "+address+"\r\nX: "+strings.Repeat("a", 3000)+"\r\n\r\n", false, 1)
	if fmt.Sprint(statuses) != "[431]" || !strings.Contains(body, problemType+string(TooLarge)) {
		t.Errorf("%v %s", statuses, body)
	}
	statuses, _ = exchangeRaw(t, address, "GET /a HTTP/1.1\r\nHost: "+address+"\r\nX: "+strings.Repeat("a", 1000)+"\r\n\r\n", false, 1)
	if fmt.Sprint(statuses) != "[401]" {
		t.Errorf("%v", statuses)
	}
	w.records.last(t, 2)
	useHTTP2(w.client)
	for _, many := range []int{1, 100} {
		r := w.request("GET", "/", nil)
		r.Header["X"] = slices.Repeat([]string{strings.Repeat("a", 3000/many)}, many)
		response, body := w.do(r)
		if response.StatusCode != 431 || reasonOf(t, response, body) != TooLarge {
			t.Errorf("%s %s", response.Status, body)
		}
	}
	if r := w.records.last(t, 4); r.Status != 431 || r.Reason != TooLarge {
		t.Errorf("%+v", r)
	}
}

// stream is a connection of which only reading counts.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error)      { return s.Reader.Read(p) }
func (s stream) SetReadDeadline(time.Time) error { return nil }

// FuzzGate wants what comes through to be what came, as far as it does, and not to depend on
// how it was cut; and the server to read in it the lengths that the gate has read.
func FuzzGate(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"\r\nGET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", preface + "SM\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\nxyz",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		read := func(from io.Reader) ([]byte, error) {
			return io.ReadAll(newGate(stream{Reader: from}, 1000))
		}
		whole, err := read(bytes.NewReader(in))
		single, errSingle := read(iotest.OneByteReader(bytes.NewReader(in)))
		if !bytes.Equal(whole, single) || fmt.Sprint(err) != fmt.Sprint(errSingle) {
			t.Fatalf("at once %q, %v; by bytes %q, %v", whole, err, single, errSingle)
		}
		through, refused := bytes.CutSuffix(whole, []byte(standIn))
		if !bytes.HasPrefix(in, through) && !bytes.HasPrefix(in, whole) {
			t.Fatalf("%q came out of %q", whole, in)
		}
		if bytes.HasPrefix(in, []byte("PRI * HTTP/2.0")) || bytes.Contains(bytes.ToLower(in), []byte("upgrade")) {
			return
		}
		// Whatever comes through, the server reads whole requests in it, with nothing between.
		rest := bufio.NewReader(bytes.NewReader(through))
		for {
			request, e := http.ReadRequest(rest)
			if e != nil {
				if e == io.EOF || !refused && err != nil || errors.Is(e, io.ErrUnexpectedEOF) {
					return
				}
				if strings.Contains(e.Error(), "malformed") || strings.Contains(e.Error(), "invalid") || strings.Contains(e.Error(), "parse") {
					return // the server is stricter, and closes
				}
				t.Fatalf("the server reads %v in %q of %q", e, through, in)
			}
			if _, e := io.Copy(io.Discard, request.Body); e != nil && err == nil && !errors.Is(e, io.ErrUnexpectedEOF) {
				t.Fatalf("the server reads a body with %v in %q", e, through)
			}
			if len(request.TransferEncoding) > 0 && request.ContentLength >= 0 {
				t.Fatalf("two lengths in %q", through)
			}
		}
	})
}
