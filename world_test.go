package ingressauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
)

// world is all that a resolver can see: variables of names that no other test has,
// and a well-known file of its own.
type world struct {
	t   testing.TB
	p   ingressauth.Profile
	dir string
	log *logBuffer
	now *atomic.Pointer[time.Time] // of the clock; nil pointer: the real one
}

var worlds atomic.Int64

func newWorld(t testing.TB) *world {
	dir := t.TempDir()
	n := worlds.Add(1)
	name := func(s string) string { return fmt.Sprintf("TEST_%d_%s", n, s) }
	return &world{t: t, dir: dir, log: new(logBuffer), now: new(atomic.Pointer[time.Time]), p: ingressauth.Profile{
		TokenVariable:        name("TOKEN"),
		DescriptorVariable:   name("DESCRIPTOR"),
		FileVariable:         name("FILE"),
		File:                 filepath.Join(dir, "remote", "well-known"),
		RemoteVariable:       name("REMOTE"),
		OrganizationVariable: name("ORGANIZATION"),
	}}
}

func (w *world) resolver(compat bool) *ingressauth.Resolver {
	r := &ingressauth.Resolver{
		Compat:  compat,
		Profile: w.p,
		Log:     slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if w.now.Load() != nil {
		r.Now = func() time.Time { return *w.now.Load() }
	}
	return r
}

// freeze stops the clock of resolvers made from now on.
func (w *world) freeze() {
	now := time.Now()
	w.now.Store(&now)
}

func (w *world) advance(d time.Duration) {
	now := w.now.Load().Add(d)
	w.now.Store(&now)
}

func (w *world) setenv(name, value string) {
	w.t.Helper()
	if err := os.Setenv(name, value); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { os.Unsetenv(name) })
}

func (w *world) unsetenv(name string) {
	w.t.Helper()
	if err := os.Unsetenv(name); err != nil {
		w.t.Fatal(err)
	}
}

// write writes a file in place, and its directory if there is none.
func (w *world) write(path, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// rename writes a file beside its place and renames it there, a while later as far
// as the file's times tell.
func (w *world) rename(path, text string) {
	w.t.Helper()
	w.write(path+".new", text)
	written := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path+".new", written, written); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

// fileVariable sets the file variable to a path in the world's directory.
func (w *world) fileVariable() string {
	path := filepath.Join(w.dir, "per-session")
	w.setenv(w.p.FileVariable, path)
	return path
}

func tokenText(t testing.TB, s ingressauth.Source) string {
	t.Helper()
	token, err := s.Token(context.Background())
	if err != nil && !errors.Is(err, ingressauth.ErrNoToken) {
		t.Fatalf("Token: %v", err)
	}
	return token.Reveal()
}

// wantToken checks what a resolver finds; "" is nothing.
func wantToken(t testing.TB, r *ingressauth.Resolver, want string) {
	t.Helper()
	if got := tokenText(t, r); got != want {
		t.Errorf("found %q, want %q", got, want)
	}
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wantLog checks that a message with this text was logged at this level.
func (w *world) wantLog(level slog.Level, text string) {
	w.t.Helper()
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "level="+level.String()+" ") && strings.Contains(line, text) {
			return
		}
	}
	w.t.Errorf("no %v with %q was logged, only:\n%s", level, text, w.log)
}

// wantQuiet checks that nothing worse than debug was logged.
func (w *world) wantQuiet() {
	w.t.Helper()
	for line := range strings.Lines(w.log.String()) {
		if !strings.Contains(line, "level=DEBUG ") {
			w.t.Errorf("logged: %s", line)
		}
	}
}

// need skips a test that cannot have what it needs here. In CI it fails it.
func need(t testing.TB, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI has no %s", what)
	}
	t.Skipf("needs %s", what)
}

func needProgram(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	need(t, err == nil, name)
	return path
}
