package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Writer is a child's standard input. It sends messages among what else is written
// to the child, each as a line of its own: whoever writes to the child writes to the
// Writer. It may be used by many goroutines at once, and must not be copied after its
// first use.
type Writer struct {
	// Out is the child's standard input, a pipe from [os/exec.Cmd.StdinPipe] for
	// instance. The Writer does not close it, and sets its write deadline, if it
	// has one. Nobody else may write to it.
	Out io.Writer

	start sync.Once
	slot  chan struct{} // of one place; whoever is in it writes

	// In the slot.
	within bool         // a line that Write has begun, and not ended
	rest   []byte       // of a message, still to be written
	torn   bool         // a part of that message was written
	stuck  chan written // a write that was not waited for any longer

	lock  sync.Mutex
	queue []*sending // messages that wait for the end of a line
}

// sending is a message on its way.
type sending struct {
	ctx  context.Context
	line []byte
	done chan error // of one place
}

type written struct {
	n   int
	err error
}

// updateTimeout bounds a call of Update.
const updateTimeout = 5 * time.Second

// Update sends a message that sets these variables. It writes one line, in one
// write, between two lines of what else is written. It waits for its turn and for
// room in the pipe until the context ends, five seconds at most; then, and when the
// child has closed the pipe, it returns an error. The child may have a message that
// came with an error in part; the rest goes before whatever is sent next.
//
// No variables, a name or a value that no environment can hold, text that is not
// UTF-8, and what makes a line of more than 1 MiB are errors, and send nothing.
// Errors show no value.
func (w *Writer) Update(ctx context.Context, variables map[string]string) error {
	line, err := encode(variables)
	if err != nil {
		return fmt.Errorf("update variables of a child: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	if err := w.send(&sending{ctx, line, make(chan error, 1)}); err != nil {
		return fmt.Errorf("update variables of a child: %w", err)
	}
	return nil
}

// encode returns the line of a message.
func encode(variables map[string]string) ([]byte, error) {
	if len(variables) == 0 {
		return nil, errors.New("there are none")
	}
	for name, value := range variables {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return nil, errors.New("a name or a value that no environment can hold")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, errors.New("a name or a value that is not UTF-8")
		}
	}
	line, err := json.Marshal(struct {
		Type      string            `json:"type"`
		Variables map[string]string `json:"variables"`
	}{updateType, variables})
	if err != nil {
		return nil, err
	}
	if len(line) > maxLine {
		return nil, fmt.Errorf("a message of more than %d bytes", maxLine)
	}
	return append(line, '\n'), nil
}

// send writes a message, or leaves that to whoever ends the line that is being
// written.
func (w *Writer) send(s *sending) error {
	w.lock.Lock()
	w.queue = append(w.queue, s)
	w.lock.Unlock()
	w.init()
	waitsFor := "another write"
	turn := func() {
		if !w.within && w.take(s) {
			s.done <- w.writeLine(s.ctx, s.line)
		}
		waitsFor = "the end of a line that was begun"
		<-w.slot
	}
	select {
	case w.slot <- struct{}{}: // also if the context has ended, as nothing is waited for
		turn()
	default:
		select {
		case w.slot <- struct{}{}:
			turn()
		case <-s.ctx.Done():
		case err := <-s.done:
			return err
		}
	}
	select {
	case err := <-s.done:
		return err
	case <-s.ctx.Done():
	}
	if !w.take(s) { // somebody is just writing it, under our context
		return <-s.done
	}
	return fmt.Errorf("wait for %s: %w", waitsFor, s.ctx.Err())
}

// take takes a message out of the queue, and reports whether it was there.
func (w *Writer) take(s *sending) bool {
	w.lock.Lock()
	defer w.lock.Unlock()
	i := slices.Index(w.queue, s)
	if i < 0 {
		return false
	}
	w.queue = slices.Delete(w.queue, i, i+1)
	return true
}

// waiting returns the messages that wait now.
func (w *Writer) waiting() []*sending {
	w.lock.Lock()
	defer w.lock.Unlock()
	return slices.Clone(w.queue)
}

// sendQueue writes the messages that wait now, and what one of them left. It is
// called in the slot, between lines.
func (w *Writer) sendQueue() error {
	for _, s := range w.waiting() {
		if w.take(s) {
			s.done <- w.writeLine(s.ctx, s.line)
		}
	}
	return w.finish(context.Background())
}

// writeLine writes a message, after what is left of the one before. It is called
// in the slot.
func (w *Writer) writeLine(ctx context.Context, line []byte) error {
	if err := w.finish(ctx); err != nil {
		return err
	}
	w.rest = line
	return w.finish(ctx)
}

// finish writes what is left of a message. One of which nothing could be written is
// dropped.
func (w *Writer) finish(ctx context.Context) error {
	if w.stuck != nil {
		select {
		case r := <-w.stuck:
			w.stuck = nil
			w.took(r.n)
		case <-ctx.Done():
			return fmt.Errorf("an earlier write has not ended: %w", ctx.Err())
		}
	}
	if len(w.rest) == 0 {
		return nil
	}
	n, err := w.write(ctx, w.rest)
	if w.stuck == nil {
		w.took(n)
	}
	return err
}

// took notes that the child has got n bytes more of a message.
func (w *Writer) took(n int) {
	w.rest = w.rest[n:]
	if w.torn = (w.torn || n > 0) && len(w.rest) > 0; !w.torn {
		w.rest = nil
	}
}

// write writes b once, and gives up when the context ends.
func (w *Writer) write(ctx context.Context, b []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var r written
	if d, ok := w.Out.(interface{ SetWriteDeadline(time.Time) error }); ok && d.SetWriteDeadline(time.Time{}) == nil {
		passed := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			d.SetWriteDeadline(time.Unix(1, 0))
			close(passed)
		})
		r.n, r.err = w.Out.Write(b)
		if !stop() {
			<-passed
			d.SetWriteDeadline(time.Time{})
		}
	} else {
		stuck := make(chan written, 1)
		go func() {
			n, err := w.Out.Write(b)
			stuck <- written{n, err}
		}()
		select {
		case r = <-stuck:
		case <-ctx.Done():
			w.stuck = stuck
			return 0, ctx.Err()
		}
	}
	if r.err == nil && r.n < len(b) {
		r.err = io.ErrShortWrite
	}
	if r.err != nil && ctx.Err() != nil {
		r.err = ctx.Err() // which says more than that a deadline has passed
	}
	return r.n, r.err
}

// Write writes p to the child, and waits as long as the child takes. Messages go
// between its lines, and between those of several writes that make one line; two
// writes that are to be one line are the caller's to keep together.
func (w *Writer) Write(p []byte) (int, error) {
	w.init()
	w.slot <- struct{}{}
	defer func() { <-w.slot }()
	for done := 0; ; {
		// What is left of a message comes first, also of one that timed out here.
		if err := w.finish(context.Background()); err != nil {
			return done, err
		}
		if !w.within {
			if err := w.sendQueue(); err != nil {
				return done, err
			}
		}
		if done == len(p) {
			return done, nil
		}
		n, err := w.pass(w.piece(p[done:]))
		if done += n; err != nil {
			return done, err
		}
	}
}

// pieceSize is about how much is written before messages have their turn.
const pieceSize = 64 << 10

// piece returns as much of p as is written at once: to the end of a line where that
// is possible, and of the first where a message waits for it.
func (w *Writer) piece(p []byte) []byte {
	if w.within && len(w.waiting()) > 0 || len(p) > pieceSize {
		n := bytes.IndexByte(p, '\n') + 1
		if !w.within && n > 0 && n <= pieceSize {
			n = bytes.LastIndexByte(p[:pieceSize], '\n') + 1
		}
		if n > 0 {
			return p[:n]
		}
	}
	return p
}

// pass writes what is not a message.
func (w *Writer) pass(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := w.Out.Write(p)
	if n > 0 {
		w.within = p[n-1] != '\n'
	}
	return n, err
}

func (w *Writer) init() {
	w.start.Do(func() { w.slot = make(chan struct{}, 1) })
}
