package control

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ingressauth/ingressauth"
)

// Reader is a program's standard input without the messages in it: read it in place
// of [os.Stdin]. A message is applied to this process's environment as it is read,
// all of it at once; whoever waits in [ingressauth.Resolver.Renew] is woken. All
// other bytes come through unchanged.
//
// A Reader has no goroutine of its own. It reads when it is read, so a program that
// is busy for long, or has no use for its standard input, reads in a goroutine:
//
//	go io.Copy(io.Discard, &control.Reader{})
//
// Bytes are passed on as soon as it is clear that they belong to no message. A line
// whose first character, JSON white space aside, is no "{" is never held back, any
// other until the object ends, or the line, or until it is longer than 1 MiB. What
// becomes of a longer one is in the package documentation.
//
// The zero Reader is ready to use. Its fields must not be changed after the first
// Read, and only one goroutine may read at a time.
type Reader struct {
	// In is what is read. Nil means [os.Stdin].
	In io.Reader

	// Resolver is whose token is updated. Its log is told of messages: at level
	// error of those that are malformed, at level debug of those that were
	// applied. Nil means [ingressauth.Default].
	Resolver *ingressauth.Resolver

	// Names are the variables that may be set. Nil means the token and the
	// organisation variable of the resolver's profile. A message with other
	// names, too, is applied as far as it may be; Read passes on a line with the
	// rest.
	Names []string

	// Observe passes the messages on, too, every byte as it came, for a program
	// that stands before another one that applies them. Otherwise messages are
	// consumed, also malformed ones and those of more than 1 MiB, and what may be
	// one that is broken off, as a token may be in them.
	Observe bool

	limit int    // of a message; 0 means maxLine
	chunk []byte // as long as it is: what In is read into
	out   []byte // to be passed on
	err   error  // from In, to be returned after out

	line  scanner
	held  []byte  // the line so far, while it may be a message
	watch watcher // of a line that is too long
	fate  fate
}

// fate is what becomes of the rest of a line.
type fate int

const (
	pending  fate = iota // it is held until it is clear
	passed               // the line is no message
	watched              // passed on, until something says that it is a message
	consumed             // it is a message that is too long
	cut                  // the same, but its beginning was passed on
)

// chunkSize is how much is read at once, in bytes.
const chunkSize = 32 << 10

// Read reads up to len(p) bytes that are the program's own. After an error, the end
// of the input included, it may be called again. Each but a timeout ends a line.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for tries := 0; len(r.out) == 0; {
		if err := r.err; err != nil {
			r.err = nil
			return 0, err
		}
		got, err := r.fill()
		if r.err = err; got == 0 && err == nil {
			if tries++; tries == 100 {
				return 0, io.ErrNoProgress
			}
		}
	}
	n := copy(p, r.out)
	if r.out = r.out[n:]; len(r.out) == 0 {
		r.out = nil
	}
	return n, nil
}

// fill reads once from In and decides on what came.
func (r *Reader) fill() (int, error) {
	if r.chunk == nil {
		r.chunk = make([]byte, chunkSize)
	}
	in := r.In
	if in == nil {
		in = os.Stdin
	}
	n, err := in.Read(r.chunk)
	if r.Observe {
		r.out = append(r.out, r.chunk[:n]...)
	}
	for b := r.chunk[:n]; len(b) > 0; {
		b = b[r.take(b):]
	}
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	if err != nil && !(ok && timeout.Timeout()) {
		if len(r.held) > 0 {
			r.judge()
		}
		r.end()
	}
	return n, err
}

// take decides on the first of these bytes, and returns on how many.
func (r *Reader) take(b []byte) int {
	if r.fate != pending {
		return r.follow(b)
	}
	// One byte more than a message may have is looked at, and no more, so that it
	// does not matter how the line is cut.
	limit := cmp.Or(r.limit, maxLine)
	n, event := r.line.scan(b[:min(len(b), limit+1-len(r.held))])
	r.held = append(r.held, b[:n]...)
	switch {
	case event == lineEnd:
		r.judge()
		return n
	case event == foreign:
		r.fate = passed
	case len(r.held) > limit:
		r.fate = r.tooLong()
	case event == object:
		if _, ours, _ := parse(r.held); !ours && !r.mayBeOurs(r.held) {
			r.fate = passed
		}
	}
	switch r.fate {
	case passed, watched:
		r.pass(r.held)
		r.begin()
	case consumed:
		r.begin()
	}
	return n
}

// follow decides on the first of these bytes of a line that is no longer held.
func (r *Reader) follow(b []byte) int {
	end := bytes.IndexByte(b, '\n') + 1
	n := end
	if end == 0 {
		n = len(b)
	}
	switch r.fate {
	case passed:
		r.pass(b[:n])
	case watched:
		// What says that it is a message is before what must not come through.
		if seen := r.watch.scan(b[:n]); r.watch.tells() {
			r.pass(b[:seen])
			r.refuse(errTooLong)
			r.fate = cut
			return seen
		}
		r.pass(b[:n])
	case cut:
		// The next line must not become a part of this one.
		r.pass(b[n-min(end, 1) : n])
	}
	if end > 0 {
		r.end()
	}
	return n
}

// tooLong decides on a line that is longer than a message may be. It is held as far
// as that.
func (r *Reader) tooLong() fate {
	if r.Observe {
		return passed
	}
	r.watch = watcher{allows: r.allows}
	r.watch.whole(r.held)
	if !r.watch.suspects() {
		return watched
	}
	r.refuse(errTooLong)
	return consumed
}

// mayBeOurs reports whether a line that parse takes for none of the type may still
// be one, which is broken before it says so. Under Observe nobody needs to know.
func (r *Reader) mayBeOurs(line []byte) bool {
	if r.Observe || !bytes.Contains(line, []byte("variables")) && !bytes.Contains(line, []byte(`\u`)) {
		return false // most lines
	}
	w := watcher{allows: r.allows}
	w.whole(line)
	return w.tells() && newParser(line).object() == errSyntax
}

// judge decides on the line that is held, which is whole.
func (r *Reader) judge() {
	defer r.begin()
	line := bytes.TrimSuffix(r.held, []byte("\n"))
	m, ours, err := parse(line)
	if !ours && r.mayBeOurs(line) {
		ours, err = true, errSyntax
	}
	if !ours {
		r.pass(r.held)
		return
	}
	allowed := maps.Clone(m.values)
	maps.DeleteFunc(allowed, func(name, _ string) bool { return !r.allows(name) })
	for _, value := range allowed {
		if err == nil && strings.ContainsRune(value, utf8.RuneError) {
			err = errUTF8
		}
	}
	if err == nil && len(allowed) > 0 {
		err = r.resolver().UpdateVariables(allowed)
	}
	if err != nil {
		r.refuse(err)
		return
	}
	if len(allowed) > 0 {
		r.log().Debug("environment variables updated by a message on the standard input", "names", slices.Sorted(maps.Keys(allowed)))
	}
	switch {
	case len(allowed) == 0 && len(m.values) > 0:
		r.pass(r.held)
	case len(allowed) < len(m.values):
		r.pass(m.without(line, r.allows))
		r.pass(r.held[len(line):])
	}
}

// refuse tells the log of a message that is not applied.
func (r *Reader) refuse(err error) {
	r.log().Error("a malformed "+updateType+" message on the standard input was not applied", "err", err)
}

// pass passes bytes on that are the program's own. Under Observe all are on their
// way already.
func (r *Reader) pass(b []byte) {
	if !r.Observe {
		r.out = append(r.out, b...)
	}
}

// begin begins a line. It keeps no large buffer for the next.
func (r *Reader) begin() {
	r.line = scanner{}
	if r.held = r.held[:0]; cap(r.held) > chunkSize {
		r.held = nil
	}
}

// end ends a line that is no longer held. Nothing of it is kept.
func (r *Reader) end() {
	r.watch, r.fate = watcher{}, pending
}

func (r *Reader) log() *slog.Logger {
	if log := r.resolver().Log; log != nil {
		return log
	}
	return slog.New(slog.DiscardHandler)
}

func (r *Reader) resolver() *ingressauth.Resolver {
	if r.Resolver == nil {
		return &ingressauth.Default
	}
	return r.Resolver
}

// allows reports whether a message may set this variable.
func (r *Reader) allows(name string) bool {
	if r.Names == nil {
		p := r.resolver().Profile.WithDefaults()
		return name == p.TokenVariable || name == p.OrganizationVariable
	}
	return slices.Contains(r.Names, name)
}
