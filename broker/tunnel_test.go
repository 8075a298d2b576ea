package broker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// frame is one of RFC 6455, section 5.2, with a mask of zeros if it has one.
func frame(opcode byte, masked bool, payload string) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	if masked {
		b[1] |= 0x80
		b = append(b, 0, 0, 0, 0)
	}
	return append(b, payload...)
}

// readFrame reads one whose mask, if it has one, is of zeros.
func readFrame(r io.Reader) (opcode byte, payload string, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, "", err
	}
	opcode, masked, n := head[0]&0x0F, head[1]&0x80 != 0, uint64(head[1]&0x7F)
	switch n {
	case 126:
		if _, err := io.ReadFull(r, head[:2]); err != nil {
			return 0, "", err
		}
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		if _, err := io.ReadFull(r, head[:8]); err != nil {
			return 0, "", err
		}
		n = binary.BigEndian.Uint64(head[:])
	}
	if masked {
		io.ReadFull(r, head[:4])
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return opcode, string(b), err
}

// webSocket is an upstream's end of one.
type webSocket struct {
	net.Conn
	in *bufio.Reader
}

// accept has a handler become one.
func accept(w http.ResponseWriter, r *http.Request) *webSocket {
	if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" || r.Header.Get("Authorization") != "Bearer "+realToken {
		http.Error(w, "no", http.StatusBadRequest)
		return nil
	}
	c, b, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return nil
	}
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Token: %s\r\nSet-Cookie: sessionKey=x\r\n\r\n", realToken)
	return &webSocket{c, b.Reader}
}

// dial opens a WebSocket through the broker, and sends early bytes with the request.
func (w *world) dial(early string) (*webSocket, *http.Response) {
	w.t.Helper()
	c, err := net.Dial("tcp", w.port.inner.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "GET /socket HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n%s",
		w.port.inner.Addr(), w.child.Phantom().Reveal(), early)
	in := bufio.NewReader(c)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &webSocket{c, in}, response
}

// echoFrames sends every frame back, unmasked, until there is a close frame.
func echoFrames(w http.ResponseWriter, r *http.Request) {
	c := accept(w, r)
	if c == nil {
		return
	}
	defer c.Close()
	for {
		opcode, payload, err := readFrame(c.in)
		if err != nil {
			return
		}
		c.Write(frame(opcode, false, payload))
		if opcode == 8 {
			return
		}
	}
}

func TestWebSocket(t *testing.T) {
	w := newWorld(t, echoFrames, nil)
	c, response := w.dial(string(frame(1, true, "early")))
	if response.StatusCode != 101 || response.Header.Get("X-Token") != mask || response.Header.Get("Set-Cookie") != "" {
		t.Errorf("%s %v", response.Status, response.Header)
	}
	for i, payload := range []string{"early", "", "hello", strings.Repeat("x", 300), strings.Repeat("y", 100_000)} {
		if i > 0 {
			go c.Write(frame(1, true, payload))
		}
		if opcode, got, err := readFrame(c.in); err != nil || opcode != 1 || got != payload {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, len(payload))
		}
	}
	c.Write(frame(8, true, ""))
	if opcode, _, err := readFrame(c.in); err != nil || opcode != 8 {
		t.Errorf("%v, %v", opcode, err)
	}
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Error(err)
	}
	record := w.records.last(t, 1)
	if record.Status != 101 || record.Received < 100_300 || record.Sent < 100_300 || record.Token == "" {
		t.Errorf("record %+v", record)
	}
}

// TestWebSocketRefused has an upstream answer a request for one with something else.
func TestWebSocketRefused(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.URL.Path != "/socket" {
			t.Errorf("the upstream got %s %s", r.Method, r.URL)
		}
		w.WriteHeader(http.StatusTeapot)
	}, nil)
	_, response := w.dial("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	if response.StatusCode != http.StatusTeapot || !response.Close {
		t.Errorf("%s %v", response.Status, response.Header)
	}
}

// TestWebSocketEnds has either end go away, or the child, or the broker.
func TestWebSocketEnds(t *testing.T) {
	for _, who := range []string{"client", "upstream", "child", "broker"} {
		t.Run(who, func(t *testing.T) {
			there, gone := make(chan *webSocket, 1), make(chan struct{})
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
				c := accept(w, r)
				there <- c
				c.in.ReadByte()
				c.Close()
				close(gone)
			}, nil)
			c, _ := w.dial("")
			upstream := <-there
			switch who {
			case "client":
				c.Close()
			case "upstream":
				upstream.Close()
			case "child":
				w.child.Remove()
			case "broker":
				w.broker.Close()
			}
			wait(t, gone)
			if who != "client" {
				if _, err := c.in.ReadByte(); err == nil {
					t.Error("the client's end is open")
				}
			}
			w.records.last(t, 1)
		})
	}
}

// TestRotation has the token be replaced while a WebSocket and a stream are open.
func TestRotation(t *testing.T) {
	for _, closes := range []bool{false, true} {
		t.Run(fmt.Sprint("closes ", closes), func(t *testing.T) {
			there := make(chan *webSocket, 1)
			more := make(chan struct{})
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/socket" {
					there <- accept(w, r)
					return
				}
				io.WriteString(w, "begun")
				w.(http.Flusher).Flush()
				select {
				case <-more:
				case <-r.Context().Done():
				}
				io.WriteString(w, " and ended")
			}, func(c *Config) { c.CloseOnRotate = closes })
			stream, err := w.client.Do(w.request("GET", "/stream", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Body.Close()
			c, _ := w.dial("")
			upstream := <-there
			defer upstream.Close()
			w.broker.closeTime = 4 * time.Second // either end may be held up for long
			// A frame is under way when the token is replaced.
			whole := frame(2, false, "frame")
			upstream.Write(whole[:4])
			if _, err := io.ReadFull(c.in, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			w.token.set(t, newerToken, "")
			if closes {
				// The upstream learns of it at once, the client after the frame.
				if opcode, payload, err := readFrame(upstream.in); err != nil || opcode != 8 || payload != "\x03\xf0"+closeReason {
					t.Errorf("upstream: %v %q %v", opcode, payload, err)
				}
				upstream.Write(append(whole[4:], frame(2, false, "never")...))
				if rest := make([]byte, len(whole)-4); true {
					if _, err := io.ReadFull(c.in, rest); err != nil || string(rest) != string(whole[4:]) {
						t.Errorf("%q, %v", rest, err)
					}
				}
				if opcode, payload, err := readFrame(c.in); err != nil || opcode != 8 || payload != "\x03\xf0"+closeReason {
					t.Errorf("client: %v %q %v", opcode, payload, err)
				}
				if _, err := c.in.ReadByte(); err == nil {
					t.Error("the client's end is open")
				}
				if b, err := io.ReadAll(stream.Body); err == nil {
					t.Errorf("the stream has ended well: %q", b)
				}
				return
			}
			time.Sleep(2 * watchTime)
			close(more)
			if b, err := io.ReadAll(stream.Body); string(b) != "begun and ended" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
			upstream.Write(append(whole[4:], frame(2, false, "more")...))
			io.ReadFull(c.in, make([]byte, len(whole)-4))
			if _, payload, err := readFrame(c.in); payload != "more" || err != nil {
				t.Errorf("%q, %v", payload, err)
			}
		})
	}
}

// TestFrames follows frames that are cut anywhere.
func TestFrames(t *testing.T) {
	var all []byte
	ends := map[int]bool{0: true}
	for _, masked := range []bool{false, true} {
		for _, n := range []int{0, 1, 125, 126, 127, 1 << 16, 70_000} {
			all = append(all, frame(1, masked, strings.Repeat("x", n))...)
			ends[len(all)] = true
		}
	}
	for _, piece := range []int{1, 2, 3, 7, 1000, len(all)} {
		var f frames
		for at := 0; at < len(all); {
			if f.whole() != ends[at] {
				t.Fatalf("pieces of %d: whole is %v after %d", piece, f.whole(), at)
			}
			n := min(piece, len(all)-at)
			f.pass(all[at : at+n])
			at += n
		}
		if !f.whole() {
			t.Errorf("pieces of %d: not whole at the end", piece)
		}
	}
	var f frames
	f.pass(all[:1])
	if n := f.rest(all[1:]); n != 1 { // an empty frame
		t.Errorf("the rest is %d", n)
	}
}
