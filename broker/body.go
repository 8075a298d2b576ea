package broker

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxReplay is the longest body of a request that is kept, so that it can be sent again after
// a refusal, in bytes.
const maxReplay = 64 << 10

// restTime bounds how long the rest of such a body may take to come, when the upstream has refused
// the token before it had all.
const restTime = 5 * time.Second

var (
	errBody    = errors.New("the body of the request is malformed")
	errTooLong = errors.New("the body of the request is too long")
	errKept    = errors.New("the body of the request was not kept")
)

func tooLarge() *failure {
	return refusal(TooLarge, "the body of the request is longer than allowed")
}

// body is a request's, on its way to the upstream.
type body struct {
	io.ReadCloser
	request *http.Request
	limit   int64 // 0 means none
	waits   bool  // the client sends nothing until it is asked to (100)

	reading sync.Mutex // keeps what is read in order
	lock    sync.Mutex // of what another goroutine asks
	read    int64
	kept    []byte // what was read, while it is not too much
	whole   bool   // and that is all
	err     error  // of ours
}

// Read reads on, and keeps what it reads; [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	n, err := b.ReadCloser.Read(p)
	b.lock.Lock()
	defer b.lock.Unlock()
	b.read += int64(n)
	if b.read <= maxReplay {
		b.kept = append(b.kept, p[:n]...)
	} else {
		b.kept = nil
	}
	switch {
	case b.limit > 0 && b.read > b.limit:
		b.err = errTooLong
		return 0, b.err
	case err == io.EOF:
		b.whole = true
		cleanTrailer(b.request.Trailer)
	case err != nil:
		b.err = errBody
	}
	return n, err
}

// Close leaves open what may have to be read to its end; [io.Closer]. The exchange closes that.
func (b *body) Close() error {
	if b.mayBeKept() {
		return nil
	}
	return b.ReadCloser.Close()
}

// mayBeKept reports whether the rest of the body is wanted, so that it can be sent again.
func (b *body) mayBeKept() bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	return !b.whole && !b.waits && b.err == nil && b.read <= maxReplay && b.request.ContentLength <= maxReplay
}

// again returns the body from its beginning; [http.Request.GetBody].
func (b *body) again() (io.ReadCloser, error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for p := make([]byte, 4<<10); b.mayBeKept(); {
			if _, err := b.Read(p); err != nil {
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(restTime):
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	if !b.whole || b.read > maxReplay {
		return nil, errKept
	}
	return io.NopCloser(bytes.NewReader(b.kept)), nil
}

// isWhole reports whether all of it was read.
func (b *body) isWhole() bool {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.whole
}

// count returns how much was read, and what went wrong with the body itself.
func (b *body) count() (int64, error) {
	if b == nil {
		return 0, nil
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.read, b.err
}

// cleanTrailer takes from a request's trailer what some server might merge into its header.
func cleanTrailer(h http.Header) {
	for name := range h {
		switch name {
		case "Authorization", "Cookie", "X-Organization-Uuid", "Content-Length", "Host":
			delete(h, name)
		default:
			if isHopByHop(name) || isDisguised(name) || slices.Contains(overrides, name) {
				delete(h, name)
			}
		}
	}
}
