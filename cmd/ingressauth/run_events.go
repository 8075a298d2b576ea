package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/lines"
	"github.com/ingressauth/ingressauth/internal/readfile"
)

// event is a line of --events. The README has its fields; there is no token in any.
type event struct {
	Time       string `json:"time"`
	Event      string `json:"event"`
	Generation int    `json:"generation,omitempty"`
	Token      string `json:"token,omitempty"`
	Expires    string `json:"expires,omitempty"`
	Delivery   string `json:"delivery,omitempty"`
	PID        int    `json:"pid,omitempty"`
	Code       *int   `json:"code,omitempty"`
	Signal     int    `json:"signal,omitempty"`
	Error      string `json:"error,omitempty"`
	Finding    string `json:"finding,omitempty"`
	URL        string `json:"url,omitempty"`
}

// What happens.
const (
	eventGeneration = "generation" // there is a token that the command has not had yet
	eventStart      = "start"      // of the command
	eventDelivery   = "delivery"   // of the generation, by a way
	eventFailure    = "failure"    // of a delivery, or of anything else; the command goes on
	eventExit       = "exit"       // of the command
	eventExposure   = "exposure"   // of the token, to a command that is not to have it
	eventListen     = "listen"     // of the broker, or of its counters, at a URL
)

const (
	// eventQueue is how many events wait for whoever takes them; more are dropped,
	// rather than hold up the command.
	eventQueue = 1024
	// flushTime bounds how long the last ones are waited for.
	flushTime = time.Second
)

// eventLog writes events, or other lines, in order, from a goroutine of its own. A nil eventLog
// drops them.
type eventLog struct {
	done chan struct{}

	lock  sync.Mutex
	queue chan []byte // of lines; nil after the end
}

func newEventLog(w io.Writer) *eventLog {
	queue := make(chan []byte, eventQueue)
	l := &eventLog{done: make(chan struct{}), queue: queue}
	go func() {
		defer close(l.done)
		to := lines.Writer{To: w}
		for line := range queue {
			to.Write(line) // if nobody takes it, nobody can be told
		}
	}()
	return l
}

func (l *eventLog) add(e event) {
	if l == nil {
		return
	}
	e.Time = time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	line, err := json.Marshal(e)
	if err != nil {
		return // there is nothing in it that is not JSON
	}
	l.Write(append(line, '\n'))
}

// Write has a line be written, or drops it; [io.Writer].
func (l *eventLog) Write(line []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	select {
	case l.queue <- bytes.Clone(line):
	default:
	}
	return len(line), nil
}

func (l *eventLog) close() {
	if l == nil {
		return
	}
	l.lock.Lock()
	close(l.queue)
	l.queue = nil
	l.lock.Unlock()
	select {
	case <-l.done:
	case <-time.After(flushTime):
	}
}

// generation is an event of a token that came, and when it ends, or the zero time.
func (l *eventLog) generation(n int, t ingressauth.Token, expires time.Time) {
	e := event{Event: eventGeneration, Generation: n, Token: t.String()}
	if !expires.IsZero() {
		e.Expires = expires.UTC().Format(time.RFC3339)
	}
	l.add(e)
}

func (l *eventLog) failure(err error) { l.add(event{Event: eventFailure, Error: err.Error()}) }

// logger returns a log whose warnings and errors are failures.
func (l *eventLog) logger() *slog.Logger {
	if l == nil {
		return nil
	}
	return slog.New(reported{func(message string) { l.failure(errors.New(message)) }})
}

// reported is a log handler that says warnings and errors by a function.
type reported struct{ say func(message string) }

func (h reported) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (h reported) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.Kind() == slog.KindTime {
			a.Value = slog.StringValue(a.Value.Time().UTC().Format(time.RFC3339))
		}
		fmt.Fprintf(&b, "; %s: %v", a.Key, a.Value)
		return true
	})
	h.say(b.String())
	return nil
}

func (h reported) WithAttrs([]slog.Attr) slog.Handler { return h } // nobody here has any
func (h reported) WithGroup(string) slog.Handler      { return h }

// eventDescriptor returns the number N of --events fd:N.
func (o *runOptions) eventDescriptor() (n int, ok bool) {
	text, ok := strings.CutPrefix(o.events, "fd:")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		n = -1
	}
	return n, true
}

// checkEvents refuses, before anything is started, a descriptor that cannot be written to.
func (o *runOptions) checkEvents() error {
	n, ok := o.eventDescriptor()
	switch {
	case !ok:
		return nil
	case n < 3:
		return usageError("--events takes the name of a file, or fd: and the number of an inherited descriptor, 3 or more")
	case !canWrite(n):
		return &runError{exitRun, fmt.Errorf("--events: descriptor %d is not inherited, or not open for writing", n)}
	}
	return nil
}

// openEvents returns what --events names, or nil if it names nothing.
func (o *runOptions) openEvents() (*os.File, error) {
	if n, ok := o.eventDescriptor(); ok {
		keepFromChildren(n)
		return os.NewFile(uintptr(n), "events"), nil
	}
	if o.events == "" {
		return nil, nil
	}
	f, err := openLines(o.events)
	if err != nil {
		return nil, fmt.Errorf("--events: %w", err)
	}
	return f, nil
}

// openLines opens a file for lines to be appended to.
func openLines(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|nonBlock, 0o600)
	if errors.Is(err, syscall.ENXIO) {
		return nil, errors.New("nobody reads the pipe, or listens on the socket: start who does first")
	}
	if err != nil {
		return nil, fmt.Errorf("open the file: %w", readfile.WithoutPath(err))
	}
	return f, nil
}
