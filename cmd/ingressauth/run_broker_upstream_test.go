//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// phantomMark is in every phantom.
const phantomMark = "ingressauth-phantom-"

// brokerUpstream is a service that takes one credential, and finds it wrong if anything else
// comes. At paths below /hold it answers when it is told to, so that whoever has sent the request
// can be looked at meanwhile.
type brokerUpstream struct {
	*httptest.Server // which is started when there is all that it is to have
	http.ServeMux
	t        testing.TB
	secure   bool                          // it has TLS and HTTP/2
	want     http.Header                   // the fields of the credential
	accepts  func(path, token string) bool // says which bearer token it is to be, if it is not nil
	serving  sync.WaitGroup
	holds    sync.Once
	held     chan struct{} // closed when a request waits
	released chan struct{} // closed when it is to be answered
	release  func()
}

var credentialFields = []string{"Authorization", "Cookie", "X-Organization-Uuid"}

const testOrganization = "made-up-organisation"

// newBrokerUpstream returns one that takes this token.
func newBrokerUpstream(t testing.TB, token string, secure bool) *brokerUpstream {
	t.Helper()
	u := &brokerUpstream{t: t, secure: secure, want: http.Header{"Authorization": {"Bearer " + token}}, held: make(chan struct{}), released: make(chan struct{})}
	u.release = sync.OnceFunc(func() { close(u.released) })
	if strings.HasPrefix(token, "sk-ant-sid") {
		u.want = http.Header{"Cookie": {"sessionKey=" + token}, "X-Organization-Uuid": {testOrganization}}
	}
	u.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello by", r.Proto) })
	u.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	})
	u.HandleFunc("/leak", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Got", r.Header.Get("Authorization"))
		w.Header().Set("X-"+token, "a name")
		w.Header().Add("Set-Cookie", "sessionKey="+token+"; Path=/")
		w.Header().Add("Set-Cookie", "other=1")
		w.Header().Set("Trailer", "X-End")
		fmt.Fprintf(w, "the token is %s.\n", token)
		w.Header().Set("X-End", token)
	})
	u.HandleFunc("/socket", u.socket)
	u.serveEvents()
	u.Server = httptest.NewUnstartedServer(u)
	return u
}

// start has it serve, and returns a variable with which its certificate is believed.
func (u *brokerUpstream) start() string {
	u.t.Cleanup(func() {
		u.release()
		u.Close()
		u.serving.Wait() // for what was a request once
	})
	if !u.secure {
		u.Start()
		return "SSL_CERT_FILE="
	}
	u.EnableHTTP2 = true
	u.StartTLS()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw})
	return "SSL_CERT_FILE=" + fileWith(u.t, "ca.pem", string(certificate))
}

func (u *brokerUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.serving.Add(1)
	defer u.serving.Done()
	f := newTextFinder(phantomMark)
	defer func() {
		r.Trailer.Write(f)
		if f.found[phantomMark] {
			u.t.Errorf("%s %s came with a phantom", r.Method, r.URL)
		}
	}()
	text, err := httputil.DumpRequest(r, false)
	if err != nil {
		u.t.Error(err)
	}
	f.Write(text)
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, f), r.Body}
	want := u.want
	if u.accepts != nil {
		want = http.Header{"Authorization": r.Header["Authorization"]}
		if token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !u.accepts(r.URL.Path, token) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	for _, name := range credentialFields {
		if got := r.Header[name]; !slices.Equal(got, want[name]) {
			u.t.Errorf("%s %s came with %s %q, want %q", r.Method, r.URL, name, got, want[name])
		}
	}
	if path, ok := strings.CutPrefix(r.URL.Path, "/hold"); ok {
		u.hold()
		r.URL.Path = cmp.Or(path, "/")
	}
	u.ServeMux.ServeHTTP(w, r)
}

// hold waits until what has sent a request was looked at.
func (u *brokerUpstream) hold() {
	u.holds.Do(func() { close(u.held) })
	<-u.released
}

// serveEvents sends three events at /events, each when the one before was acknowledged.
func (u *brokerUpstream) serveEvents() {
	acknowledged := make(chan string)
	u.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "id: %d\ndata: event\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case id := <-acknowledged:
				if id != fmt.Sprint(i) {
					u.t.Errorf("event %s was acknowledged, want %d", id, i)
				}
			case <-time.After(20 * time.Second):
				u.t.Errorf("event %d was not acknowledged", i)
				return
			}
		}
	})
	u.HandleFunc("POST /acknowledge/{id}", func(w http.ResponseWriter, r *http.Request) {
		select {
		case acknowledged <- r.PathValue("id"):
		case <-r.Context().Done():
		}
	})
}

// Sizes of WebSocket messages whose lengths are written in different ways, and one that is more
// than any buffer here.
var messageSizes = []int{5, 300, 70000, 300000}

// socket has a WebSocket (RFC 6455) on which the client is to answer each message with the same,
// and then every message of the client is answered in that way.
func (u *brokerUpstream) socket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		u.t.Error(err)
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	s := &socketServer{buffered}
	for _, n := range messageSizes {
		message := bytes.Repeat([]byte{'s'}, n)
		s.write(1, message)
		if got, err := s.read(); err != nil || !bytes.Equal(got, message) {
			u.t.Errorf("%d bytes came back as %d, %v", n, len(got), err)
			return
		}
	}
	for {
		message, err := s.read()
		if err == io.EOF {
			return
		}
		if err != nil {
			u.t.Error(err)
			return
		}
		if string(message) == "hold" {
			u.hold()
		}
		s.write(1, message)
	}
}

// socketServer is a server's end of a WebSocket.
type socketServer struct{ *bufio.ReadWriter }

func (s *socketServer) write(kind byte, message []byte) error {
	head := []byte{0x80 | kind, byte(len(message))}
	switch n := len(message); {
	case n > 65535:
		head[1] = 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	case n > 125:
		head[1] = 126
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	}
	s.Write(head)
	s.Write(message)
	return s.Flush()
}

// read returns the next message, or io.EOF when the client has closed.
func (s *socketServer) read() (message []byte, err error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(s, head[:]); err != nil {
			return nil, fmt.Errorf("no frame: %w", err)
		}
		length := uint64(head[1] & 0x7F)
		var extended [8]byte
		switch length {
		case 126:
			_, err = io.ReadFull(s, extended[6:])
			length = binary.BigEndian.Uint64(extended[:])
		case 127:
			_, err = io.ReadFull(s, extended[:])
			length = binary.BigEndian.Uint64(extended[:])
		}
		if err != nil || head[1]&0x80 == 0 || length > 1<<20 {
			return nil, fmt.Errorf("a frame of %d bytes, %#x: %v", length, head, err)
		}
		masked := make([]byte, 4+length)
		if _, err := io.ReadFull(s, masked); err != nil {
			return nil, fmt.Errorf("half a frame: %w", err)
		}
		mask, payload := masked[:4], masked[4:]
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
		switch kind := head[0] & 0x0F; kind {
		case 8:
			s.write(8, payload)
			return nil, io.EOF
		case 9:
			s.write(10, payload)
		case 10:
		default:
			message = append(message, payload...)
			if head[0]&0x80 != 0 {
				return message, nil
			}
		}
	}
}
