package ingressauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ingressauth/ingressauth/internal/tokentext"
)

const (
	// maxToken bounds a token with the white space around it, in bytes.
	maxToken = tokentext.Max
	// readTimeout is how long a descriptor may take to come to its end.
	readTimeout = 2 * time.Second
)

// descriptorKind is what a descriptor is open on.
type descriptorKind string

const (
	kindFile   descriptorKind = "file" // regular, or a memfd
	kindPipe   descriptorKind = "pipe"
	kindSocket descriptorKind = "socket"
	kindNull   descriptorKind = "null device"
)

// errWait says that a descriptor has nothing to read for now.
var errWait = errors.New("nothing to read yet")

// descriptorReader reads a descriptor without ever blocking or changing its flags,
// which other processes share. Each system has its own (openDescriptor).
type descriptorReader struct {
	read   func(p []byte) (int, error) // errWait: nothing for now; 0 and nil: the end
	close  func()
	direct bool // reads the descriptor itself, since its path could not be reopened
}

// descriptorRead is the one read of a descriptor, shared by all who ask for it.
type descriptorRead struct {
	kind   descriptorKind
	direct bool

	done chan struct{} // closed when the fields below are set
	text []byte        // up to the end, or the complete line that was there in time
	err  error         // why it cannot be read

	persist sync.Once // for whoever writes the token to disk (rule R7)
}

// descriptorReads holds the outcome of each descriptor read, by number, for the
// life of the process: what a pipe held cannot be read again.
var descriptorReads struct {
	sync.Mutex
	m map[int]*descriptorRead
}

// readOf returns the read of descriptor n that was begun before, or nil.
func readOf(n int) *descriptorRead {
	descriptorReads.Lock()
	defer descriptorReads.Unlock()
	return descriptorReads.m[n]
}

// readDescriptor returns the read of descriptor n, and begins it if nobody has. It
// goes on whatever becomes of the caller, and ends by itself. An error says that
// it was not begun.
func readDescriptor(n int, named, compat bool) (*descriptorRead, error) {
	if err := checkNumber(n, compat); err != nil {
		return nil, err
	}
	descriptorReads.Lock()
	defer descriptorReads.Unlock()
	if d := descriptorReads.m[n]; d != nil {
		return d, d.check(compat)
	}
	kind, err := checkDescriptor(n, named, compat)
	if err != nil {
		return nil, err
	}
	if kind == kindNull {
		d := &descriptorRead{kind: kind, done: make(chan struct{})}
		close(d.done)
		return d, nil
	}
	r, err := openDescriptor(n, kind, !compat)
	if err != nil {
		return nil, err
	}
	d := &descriptorRead{kind: kind, direct: r.direct, done: make(chan struct{})}
	if descriptorReads.m == nil {
		descriptorReads.m = make(map[int]*descriptorRead)
	}
	descriptorReads.m[n] = d
	go func() {
		defer close(d.done)
		defer r.close()
		d.text, d.err = readToEnd(r.read)
	}()
	return d, nil
}

// wait waits for the end of the read, and reports whether there was one: a second after
// its time it is given up. That second begins when the time is over, so that a process that
// was held up for long does not give up what it has read by then.
func (d *descriptorRead) wait(ctx context.Context) (over bool, err error) {
	for _, wait := range []time.Duration{readTimeout, time.Second} {
		t := time.NewTimer(wait)
		select {
		case <-d.done:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		select {
		case <-d.done: // whatever has come besides
			return true, nil
		default:
		}
		if ctx.Err() != nil {
			return false, ended(ctx)
		}
	}
	return false, nil
}

// check says why this read is not one that compat would have made.
func (d *descriptorRead) check(compat bool) error {
	if d.direct && compat {
		return errNoPath
	}
	return nil
}

var errNoPath = errors.New("its path cannot be reopened")

func checkNumber(n int, compat bool) error {
	switch {
	case n < 0 || n > math.MaxInt32:
		return errors.New("no descriptor has this number")
	case n <= 2 && !compat:
		return errors.New("standard streams are not tokens")
	}
	return nil
}

// checkDescriptor says what descriptor n is open on, or why it is not believed to
// be a token's. It has no effect. A program that set close-on-exec itself has
// named the descriptor.
func checkDescriptor(n int, named, compat bool) (descriptorKind, error) {
	kind, closeOnExec, err := inspectDescriptor(n)
	switch {
	case closeOnExec && !named:
		return "", errors.New("close-on-exec is set, so this process opened it and did not inherit it")
	case err != nil:
		return "", err
	case kind == kindNull && !compat:
		return "", errors.New("it is the null device")
	}
	return kind, nil
}

// readToEnd reads to the end, or for readTimeout. Then a complete line will do:
// there are parents that write one and keep the pipe open. It sleeps rather than
// wait in the kernel, since a thread that waits there is never given back.
func readToEnd(read func([]byte) (int, error)) ([]byte, error) {
	deadline := time.Now().Add(readTimeout)
	buf := make([]byte, 4096)
	n, pause := 0, time.Millisecond
	for {
		m, err := read(buf[n:])
		n += m
		switch {
		case err == errWait:
			if time.Now().After(deadline) {
				return firstLine(buf[:n])
			}
			time.Sleep(pause)
			pause = min(2*pause, 16*time.Millisecond)
		case err != nil:
			return nil, err
		case m == 0:
			return buf[:n], nil
		case n > maxToken:
			return nil, tokentext.ErrTooLong
		case time.Now().After(deadline):
			return firstLine(buf[:n])
		}
		if n == len(buf) {
			buf = append(buf, make([]byte, n)...)
		}
	}
}

// firstLine returns the first line of b that is complete and not blank.
func firstLine(b []byte) ([]byte, error) {
	if line, _, ok := bytes.Cut(bytes.TrimLeftFunc(b, tokentext.IsSpace), []byte("\n")); ok {
		return line, nil
	}
	return nil, fmt.Errorf("it did not end within %v, and held no complete line", readTimeout)
}
