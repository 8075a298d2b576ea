package control_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/control"
)

// lines is a child's standard input that counts writes.
type lines struct {
	bytes.Buffer
	writes int
}

func (l *lines) Write(p []byte) (int, error) {
	l.writes++
	return l.Buffer.Write(p)
}

// waitFor waits until so many messages wait for their turn.
func waitFor(t *testing.T, w *control.Writer, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); w.Waiting() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d messages wait, want %d", w.Waiting(), n)
		}
	}
}

func TestWriter(t *testing.T) {
	var out lines
	w := &control.Writer{Out: &out}
	if err := w.Update(t.Context(), map[string]string{"B": "2\n<\"", "A": "1"}); err != nil {
		t.Fatal(err)
	}
	want := `{"type":"update_environment_variables","variables":{"A":"1","B":"2\n\u003c\""}}` + "\n"
	if out.String() != want || out.writes != 1 {
		t.Errorf("%d writes of %q, want one of %q", out.writes, out.String(), want)
	}
	for what, variables := range map[string]map[string]string{
		"none":          nil,
		"no name":       {"": "secret"},
		"a name with =": {"A=": "secret"},
		"NUL":           {"A": "secret\x00"},
		"not UTF-8":     {"A": "secret\xff"},
		"over 1 MiB":    {"A": "secret" + strings.Repeat("x", 1<<20)},
	} {
		if err := w.Update(t.Context(), variables); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if out.writes != 1 {
		t.Errorf("wrote %q", out.String())
	}
}

// TestWriterKeepsLines has a message sent while others write lines in pieces. It
// goes where a line ends, also if no write ends with one.
func TestWriterKeepsLines(t *testing.T) {
	var out lines
	w := &control.Writer{Out: &out}
	io.WriteString(w, "half")
	sent := make(chan error)
	go func() { sent <- w.Update(t.Context(), map[string]string{"A": "1"}) }()
	for i := 0; ; i++ { // until it is sent, which no write waits for
		fmt.Fprintf(w, " %d\nhalf", i)
		select {
		case err := <-sent:
			if err != nil {
				t.Error(err)
			}
			io.WriteString(w, "\n")
			messages := 0
			for line := range strings.Lines(out.String()) {
				if line == update("A", "1")+"\n" {
					messages++
				} else if !strings.HasPrefix(line, "half") {
					t.Errorf("%q", line)
				}
			}
			if messages != 1 {
				t.Errorf("%d messages in %q", messages, out.String())
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// TestWriterAmongOthers has many writers and a reader, over a real pipe.
func TestWriterAmongOthers(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	w := &control.Writer{Out: out}
	const each = 200
	var all sync.WaitGroup
	long := strings.Repeat("x", 10_000) // more than a pipe takes in one piece
	for i := range 4 {
		all.Go(func() {
			for range each {
				if err := w.Update(t.Context(), map[string]string{tokenVariable: fmt.Sprint(i, long)}); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range each {
				if _, err := io.WriteString(w, long+"\n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() {
		all.Wait()
		out.Close()
	}()
	r, log := resolver(t)
	own := bufio.NewScanner(&control.Reader{In: in, Resolver: r})
	n := 0
	for own.Scan() {
		if n++; own.Text() != long {
			t.Fatalf("a line became %.100q", own.Text())
		}
	}
	if applied := strings.Count(log.String(), "level=DEBUG"); n != 4*each || applied != 4*each || own.Err() != nil {
		t.Errorf("%d lines and %d messages, of %d: %v", n, applied, 4*each, own.Err())
	}
}

// TestWriterGivesMessagesTheirTurn has one long write of many lines, to a child that
// reads slowly.
func TestWriterGivesMessagesTheirTurn(t *testing.T) {
	in, out := io.Pipe()
	w := &control.Writer{Out: out}
	const line = "a line\n"
	go func() {
		w.Write(bytes.Repeat([]byte(line), 100_000))
		out.Close()
	}()
	first := make([]byte, len(line))
	if _, err := io.ReadFull(in, first); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- w.Update(t.Context(), map[string]string{"A": "1"}) }()
	waitFor(t, w, 1)
	rest := bufio.NewScanner(in)
	var n, at int
	for ; rest.Scan(); n++ {
		if rest.Text() == update("A", "1") {
			at = n
		} else if rest.Text()+"\n" != line {
			t.Fatalf("a line became %q", rest.Text())
		}
	}
	if err := <-sent; err != nil || n != 100_000 || at == 0 || at > 20_000 {
		t.Errorf("%v; the message is line %d of %d", err, at, n)
	}
}

// TestWriterKeepsTornMessages has a message that times out in part while a write is
// waiting behind it. The child gets each whole.
func TestWriterKeepsTornMessages(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	w := &control.Writer{Out: out}
	io.WriteString(w, "abc")
	big := strings.Repeat("x", 60_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { w.Update(ctx, map[string]string{tokenVariable: big}) })
	}
	waitFor(t, w, 3)
	written := make(chan error)
	go func() {
		_, err := io.WriteString(w, "def\nghi\n")
		written <- err
	}()
	// The pipe has room for one of them, and for a part of the next, whose time ends then.
	waitFor(t, w, 1)
	time.Sleep(50 * time.Millisecond)
	cancel()
	all.Wait()
	r, log := resolver(t)
	done := make(chan string)
	go func() { done <- readAll(t, &control.Reader{In: in, Resolver: r}) }()
	if err := <-written; err != nil {
		t.Error(err)
	}
	out.Close()
	if got := <-done; got != "abcdef\nghi\n" || strings.Contains(log.String(), "ERROR") || os.Getenv(tokenVariable) != big {
		t.Errorf("passed on %.100q; %.200s", got, log)
	}
}

// TestWriterIsOnTime has messages with little time behind others that have more, to a
// child that takes none.
func TestWriterIsOnTime(t *testing.T) {
	in, out := io.Pipe()
	w := &control.Writer{Out: out}
	var patient, hasty sync.WaitGroup
	var ended atomic.Int64 // of the patient
	for range 4 {
		patient.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			w.Update(ctx, map[string]string{"A": "1"})
			ended.Add(1)
		})
		hasty.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if err := w.Update(ctx, map[string]string{"A": "1"}); err == nil {
				t.Error("no error")
			}
		})
	}
	hasty.Wait()
	if n := ended.Load(); n > 0 {
		t.Errorf("the hasty ones have waited for %d others", n)
	}
	go io.Copy(io.Discard, in)
	patient.Wait()
	out.Close()
}

// TestWriterDoesNotHang has children that take nothing, or are gone, behind outputs
// with and without a deadline.
func TestWriterDoesNotHang(t *testing.T) {
	for _, tt := range []struct {
		name string
		pipe func(t *testing.T) (io.ReadCloser, io.WriteCloser)
	}{
		{"a pipe", func(t *testing.T) (io.ReadCloser, io.WriteCloser) {
			in, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return in, out
		}},
		{"an output without deadlines", func(*testing.T) (io.ReadCloser, io.WriteCloser) { return io.Pipe() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, out := tt.pipe(t)
			w := &control.Writer{Out: out}
			short := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				t.Cleanup(cancel)
				return ctx
			}
			// Larger than a pipe, so that the child has it in part.
			big := strings.Repeat("x", 60<<10)
			full := func() error { return w.Update(short(), map[string]string{tokenVariable: big}) }
			// Twice in a row, since one time can be over before anything is written.
			for tries, failed := 0, 0; failed < 2; tries++ {
				err := full()
				if err == nil {
					failed = 0
				} else if failed++; !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "xxx") {
					t.Fatalf("a full pipe: %.200v", err)
				}
				if tries == 20 {
					t.Fatal("a pipe that is never full")
				}
			}
			// The child comes to itself, and finds whole messages.
			r, log := resolver(t)
			done := make(chan string)
			go func() { done <- readAll(t, &control.Reader{In: in, Resolver: r}) }()
			if err := w.Update(t.Context(), map[string]string{tokenVariable: "newest"}); err != nil {
				t.Error(err)
			}
			if _, err := io.WriteString(w, "own\n"); err != nil {
				t.Error(err)
			}
			out.Close()
			if got := <-done; got != "own\n" || strings.Contains(log.String(), "ERROR") {
				t.Errorf("passed on %.200q; %.300s", got, log)
			}
			if got := os.Getenv(tokenVariable); got != "newest" {
				t.Errorf("the token is %.20q", got)
			}
			if err := w.Update(t.Context(), map[string]string{"A": "1"}); err == nil {
				t.Error("closed on this side: no error")
			}

			in, out = tt.pipe(t)
			in.Close()
			if err := (&control.Writer{Out: out}).Update(t.Context(), map[string]string{"A": "1"}); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("closed on the other side: %v", err)
			}
			out.Close()
		})
	}

	var out lines
	w := &control.Writer{Out: &out}
	io.WriteString(w, "a line that nobody ends")
	for _, short := range []time.Duration{20 * time.Millisecond, 0} { // in which it begins to wait, or not
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		if err := w.Update(ctx, map[string]string{"A": "1"}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "end of a line") {
			t.Errorf("in a line that does not end: %v", err)
		}
	}
	if io.WriteString(w, "\n"); strings.Contains(out.String(), "update") {
		t.Errorf("what was given up was sent: %q", out.String())
	}
}
