package broker

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// gate is a client's connection as the HTTP server sees it. What it lets through is HTTP/1.1
// that can be read in one way only, request by request; package net/http mends much of the
// rest silently (a length beside a chunked body, bare line feeds, folded lines), and whoever
// stands before us may have read that in another way. It changes nothing that it lets through.
//
// A connection that begins as HTTP/2 does, and one that asked to become a WebSocket, passes
// through as it is.
type gate struct {
	net.Conn
	limit int // of a head, in bytes

	buffer     []byte // what was read, and not let through yet, is buffer[begin:end]
	begin, end int
	free       int64 // of that and what follows, so much may go through
	next       state // after that

	head    head
	scanned int // so much of the head, from begin, are whole lines that were judged

	heads   int64 // how many were let through
	bad     atomic.Pointer[violation]
	stopped atomic.Bool // nothing more is read

	said   string      // of the request that stands for a violation, what is not let through yet
	ending bool        // nothing comes after that
	opened atomic.Bool // to whatever comes after a request for a WebSocket

	waits
}

// violation is why a request is not let through.
type violation struct {
	number int64 // of the request on its connection, from 1
	status int
	detail string
}

const headerTooLong = "the header is too long"

type state int

const (
	inHead state = iota
	inChunkSize
	afterChunk
	inTrailer
	raw
)

const (
	// gateBuffer is how much is read at once at first, in bytes. The buffer grows to the
	// limit of a head.
	gateBuffer = 4 << 10
	// maxChunkLine bounds the line before a chunk, and maxTrailer the fields after the last.
	maxChunkLine = 256
	maxTrailer   = 4 << 10
)

// preface is the beginning of HTTP/2 (RFC 9113, section 3.4), as far as it would be an HTTP/1.1 head.
const preface = "PRI * HTTP/2.0\r\n\r\n"

// standIn is what the server gets in place of a request that is not let through, so that it
// answers in turn, and ends.
const standIn = "GET / HTTP/1.1\r\nHost: invalid\r\nConnection: close\r\n\r\n"

func newGate(c net.Conn, limit int) *gate {
	return &gate{Conn: c, limit: limit, waits: waits{changed: make(chan struct{}, 1)}}
}

// Read reads what may go through; [io.Reader].
func (g *gate) Read(p []byte) (int, error) {
	for {
		if g.stopped.Load() {
			return 0, io.EOF
		}
		if g.said != "" {
			n := copy(p, g.said)
			g.said = g.said[n:]
			return n, nil
		}
		if g.ending {
			return 0, io.EOF
		}
		if g.free > 0 || g.next == raw {
			return g.through(p)
		}
		whole, v := g.judge()
		if v != nil {
			if err := g.refuse(v); err != nil {
				return 0, err
			}
			continue
		}
		if whole {
			continue
		}
		if err := g.fill(); err != nil {
			return 0, err
		}
	}
}

// through reads what needs no more judging.
func (g *gate) through(p []byte) (n int, err error) {
	if g.next != raw && int64(len(p)) > g.free {
		p = p[:g.free]
	}
	if g.begin == g.end {
		n, err = g.read(p)
	} else {
		n = copy(p, g.buffer[g.begin:g.end])
		if g.begin += n; g.begin == g.end {
			g.begin, g.end = 0, 0
			if g.next == raw || len(g.buffer) > gateBuffer {
				g.buffer = nil
			}
		}
	}
	g.free = max(0, g.free-int64(n))
	return n, err
}

// fill reads on, for a whole line, or a whole head.
func (g *gate) fill() error {
	if g.end > g.begin && g.next == inHead {
		g.setHeadTime(true)
	}
	if g.begin > 0 && g.end == len(g.buffer) {
		g.end = copy(g.buffer, g.buffer[g.begin:g.end])
		g.begin = 0
	}
	if g.end == len(g.buffer) {
		g.buffer = append(g.buffer, make([]byte, max(gateBuffer, len(g.buffer)))...)
	}
	if g.next == inHead && g.begin == g.end && g.heads > 0 {
		if err := g.idle(); err != nil {
			return err
		}
	}
	n, err := g.read(g.buffer[g.end:])
	g.end += n
	if n > 0 {
		return nil
	}
	if err == io.EOF && (g.end > g.begin || g.next != inHead) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// refuse has the server answer a head that is not let through, or fails the body.
func (g *gate) refuse(v *violation) error {
	g.setHeadTime(false)
	g.ending, g.buffer, g.begin, g.end = true, nil, 0, 0
	if g.next != inHead {
		v.number = g.heads
		g.bad.Store(v)
		return errBody
	}
	g.heads++
	v.number = g.heads
	g.bad.Store(v)
	g.said = standIn
	return nil
}

// refused returns why the request with this number was not let through, or nil.
func (g *gate) refused(number int64) *violation {
	if v := g.bad.Load(); v != nil && v.number == number {
		return v
	}
	return nil
}

// judge looks at what is there, and reports whether it could let something through, or
// whether it must not.
func (g *gate) judge() (bool, *violation) {
	b := g.buffer[g.begin:g.end]
	switch g.next {
	case inHead:
		return g.judgeHead(b)
	case inTrailer:
		return g.judgeTrailer(b)
	case afterChunk:
		if len(b) < 2 {
			return false, nil
		}
		if b[0] != '\r' || b[1] != '\n' {
			return false, malformed("a chunk is longer than its size")
		}
		g.free, g.next = 2, inChunkSize
		return true, nil
	}
	// inChunkSize
	line, ok, v := cutLine(b)
	if v != nil || !ok {
		if len(b) > maxChunkLine {
			v = malformed("a chunk's size is in a line that is too long")
		}
		return false, v
	}
	size, ok := chunkSize(line)
	if !ok || len(line) > maxChunkLine {
		return false, malformed("a chunk's size is no number")
	}
	g.free, g.next = int64(len(line)+2)+size, afterChunk
	if size == 0 {
		g.next = inTrailer
	}
	return true, nil
}

func (g *gate) judgeHead(b []byte) (bool, *violation) {
	if g.scanned == 0 && g.heads == 0 && len(b) > 0 {
		if n := min(len(b), len(preface)); string(b[:n]) == preface[:n] {
			if n == len(preface) {
				g.next = raw
				g.setHeadTime(false)
			}
			return n == len(preface), nil
		}
	}
	for {
		line, ok, v := cutLine(b[g.scanned:])
		if v != nil {
			return false, v
		}
		if !ok || g.scanned+len(line) > g.limit {
			if len(b) > g.limit {
				return false, &violation{status: http.StatusRequestHeaderFieldsTooLarge, detail: headerTooLong}
			}
			return false, nil
		}
		g.scanned += len(line) + 2
		switch {
		case len(line) == 0 && g.head.empty():
			return false, malformed("an empty line stands before the request line")
		case len(line) == 0:
			g.head.end()
			if g.head.problem != "" {
				return false, malformed(g.head.problem)
			}
			g.open()
			return true, nil
		default:
			g.head.line(line)
		}
	}
}

// open lets a head through that is whole and good.
func (g *gate) open() {
	g.setHeadTime(false)
	g.heads++
	g.free, g.scanned = int64(g.scanned), 0
	switch {
	case g.head.upgrades:
		g.next = raw
		g.opened.Store(true)
	case g.head.chunked:
		g.next = inChunkSize
	default:
		g.free += g.head.length
	}
	g.head = head{}
}

func (g *gate) judgeTrailer(b []byte) (bool, *violation) {
	for at := 0; ; {
		line, ok, v := cutLine(b[at:])
		if v != nil {
			return false, v
		}
		if !ok || at > maxTrailer {
			if len(b) > maxTrailer {
				return false, malformed("the trailer is too long")
			}
			return false, nil
		}
		at += len(line) + 2
		if len(line) == 0 {
			g.free, g.next = int64(at), inHead
			return true, nil
		}
		if _, _, problem := cutField(line); problem != "" {
			return false, malformed(problem)
		}
	}
}

// stop has nothing more be read, whoever reads now.
func (g *gate) stop() {
	g.stopped.Store(true)
	g.SetReadDeadline(time.Unix(1, 0))
}

// CloseWrite says that nothing more is written, where the connection can.
func (g *gate) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func malformed(detail string) *violation {
	return &violation{status: http.StatusBadRequest, detail: detail}
}
