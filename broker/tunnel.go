package broker

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ingressauth/ingressauth"
)

const (
	// closeTime is how long both ends have after a close frame, or for the rest of a frame
	// before it.
	closeTime = time.Second
	// violationStatus is the status of RFC 6455, section 7.4.1, for what a policy forbids.
	violationStatus = 1008
	closeReason     = "the token was replaced"
)

// tunnel is a WebSocket that passes through.
type tunnel struct {
	upstream net.Conn
	up, down flow
}

// flow is one direction of it.
type flow struct {
	to     net.Conn
	masked bool // as frames to a server are
	moved  atomic.Int64

	closing atomic.Bool // a close frame is to be sent after the frame that is under way

	lock   sync.Mutex
	frames frames
	closed bool // the close frame was sent
}

// halves is a response's body and the connection's other half, as a net.Conn of which a tunnel
// needs no more than this.
type halves struct{ io.ReadWriteCloser }

func (halves) LocalAddr() net.Addr              { return nil }
func (halves) RemoteAddr() net.Addr             { return nil }
func (halves) SetDeadline(time.Time) error      { return nil }
func (halves) SetReadDeadline(time.Time) error  { return nil }
func (halves) SetWriteDeadline(time.Time) error { return nil }

// switchProtocols has the connection become a WebSocket, as the upstream has agreed.
func (x *exchange) switchProtocols(response *http.Response, asked bool) *failure {
	upstream, ok := response.Body.(io.ReadWriteCloser)
	if !ok || !asked || !upgrades(response.Header) {
		response.Body.Close()
		return refusal(UpstreamFailed, "the upstream changed to a protocol that it was not asked for")
	}
	defer upstream.Close()
	own := x.w.Header()
	x.copyHeader(own, response.Header)
	own["Connection"], own["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	hijacker, ok := x.w.(http.Hijacker)
	if !ok {
		return refusal(UpstreamFailed, "the connection cannot become a WebSocket")
	}
	client, buffered, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer client.Close()
	x.record.Status = http.StatusSwitchingProtocols
	x.noteWorking()
	io.WriteString(buffered, "HTTP/1.1 101 Switching Protocols\r\n")
	own.Write(buffered)
	io.WriteString(buffered, "\r\n")
	if err := buffered.Flush(); err != nil {
		return nil
	}
	t := &tunnel{upstream: halves{upstream}}
	t.up.to, t.up.masked, t.down.to = t.upstream, true, client
	x.tunnel.Store(t)
	if x.ctx.Err() != nil { // it was ended before there was a tunnel to close
		return nil
	}
	x.setStream(upstream)
	defer x.setStream(nil)
	ended := make(chan struct{}, 2)
	go func() {
		t.up.run(buffered)
		ended <- struct{}{}
	}()
	go func() {
		t.down.run(upstream)
		ended <- struct{}{}
	}()
	<-ended
	// What one end has closed is of no use to the other.
	client.Close()
	upstream.Close()
	<-ended
	return nil
}

// run moves what there is, until it ends.
func (f *flow) run(from io.Reader) {
	buffer := make([]byte, 8<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !f.move(buffer[:n]) || err != nil {
			return
		}
	}
}

// move writes what was read, and reports whether there is more to write after it.
func (f *flow) move(p []byte) bool {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.closed {
		return true // whoever answers to the close frame is read, and not heard
	}
	if f.closing.Load() {
		p = p[:f.frames.rest(p)]
	} else {
		f.frames.pass(p)
	}
	n, err := f.to.Write(p)
	f.moved.Add(int64(n))
	if err == nil && f.closing.Load() && f.frames.whole() {
		f.sendClose()
	}
	return err == nil
}

// close sends the close frame of a direction that is closing, unless a frame is under way,
// which move sends it after.
func (f *flow) close() {
	f.lock.Lock()
	defer f.lock.Unlock()
	if !f.closed && f.frames.whole() {
		f.sendClose()
	}
}

// sendClose sends a close frame (RFC 6455, section 5.5.1). The lock is held.
func (f *flow) sendClose() {
	f.closed = true
	payload := append([]byte{violationStatus >> 8, violationStatus & 0xFF}, closeReason...)
	frame := []byte{0x88, byte(len(payload))}
	if f.masked {
		frame[1] |= 0x80
		frame = append(frame, 0, 0, 0, 0) // a mask of zeros, since nobody chose what it hides
	}
	f.to.Write(append(frame, payload...))
}

// endStale ends a WebSocket or a stream whose token is no longer the newest.
func (x *exchange) endStale(what io.Closer) {
	t := x.tunnel.Load()
	if t == nil {
		go what.Close() // which may wait for a client
		return
	}
	// Neither direction begins a frame once the other's end may know. Who does not read holds
	// up the rest.
	t.up.closing.Store(true)
	t.down.closing.Store(true)
	go t.up.close()
	go t.down.close()
	time.AfterFunc(x.broker.closeTime, func() {
		t.down.to.Close()
		t.upstream.Close()
	})
}

// watch ends what was begun with a token that is no longer the newest.
func (b *Broker) watch(ctx context.Context) {
	ticker := time.NewTicker(watchTime)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		b.lock.RLock()
		var open []*exchange
		for x := range b.rotating {
			open = append(open, x)
		}
		b.lock.RUnlock()
		if len(open) == 0 {
			continue
		}
		newest, err := (&source{b}).Token(ctx)
		if err != nil {
			continue // what is open has a token that nobody has replaced
		}
		for _, x := range open {
			if what := x.takeStale(newest); what != nil {
				x.endStale(what)
			}
		}
	}
}

// takeStale returns what goes on with another token than this one, once, or nil.
func (x *exchange) takeStale(newest ingressauth.Token) io.Closer {
	x.lock.Lock()
	defer x.lock.Unlock()
	if s := x.sent.Load(); x.stream == nil || s != nil && s.token == newest {
		return nil
	}
	what := x.stream
	x.stream, x.stale = nil, true
	return what
}

// isStale reports whether it was ended for its token.
func (x *exchange) isStale() bool {
	x.lock.Lock()
	defer x.lock.Unlock()
	return x.stale
}

// frames follows where frames begin and end (RFC 6455, section 5.2).
type frames struct {
	head [14]byte // of the frame that is under way, as far as it was seen
	seen int
	left uint64 // of its payload
}

// whole reports whether no frame is under way.
func (f *frames) whole() bool { return f.seen == 0 && f.left == 0 }

// pass goes over bytes.
func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		p = p[f.step(p):]
	}
}

// rest goes on to the end of the frame that is under way, and returns how many bytes that are.
func (f *frames) rest(p []byte) int {
	n := 0
	for n < len(p) && !f.whole() {
		n += f.step(p[n:])
	}
	return n
}

// step goes on by a byte of a head, or as far as a payload goes.
func (f *frames) step(p []byte) int {
	if f.left > 0 {
		n := min(f.left, uint64(len(p)))
		f.left -= n
		return int(n)
	}
	f.head[f.seen] = p[0]
	f.seen++
	if f.seen < 2 {
		return 1
	}
	size, length := 2, uint64(f.head[1]&0x7F)
	switch length {
	case 126:
		size = 4
	case 127:
		size = 10
	}
	if f.seen >= size && size > 2 {
		length = 0
		for _, b := range f.head[2:size] {
			length = length<<8 | uint64(b)
		}
	}
	if f.head[1]&0x80 != 0 {
		size += 4
	}
	if f.seen == size {
		f.seen, f.left = 0, length
	}
	return 1
}
