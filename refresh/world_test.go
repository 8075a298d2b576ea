package refresh_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
	"github.com/ingressauth/ingressauth/refresh/refreshtest"
	"go.uber.org/goleak"
)

// testProgram makes another program of the test binary.
const testProgram = "INGRESSAUTH_TEST_PROGRAM"

var testPrograms = map[string]func(){}

func TestMain(m *testing.M) {
	if program := os.Getenv(testProgram); program != "" {
		testPrograms[program]()
		return
	}
	goleak.VerifyTestMain(m)
}

func newToken(t testing.TB, text string) ingressauth.Token {
	t.Helper()
	token, err := ingressauth.NewToken(text, "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claims are those of a JWT that nobody signed.
type claims map[string]any

func (c claims) token(t testing.TB) ingressauth.Token {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return newToken(t, encode([]byte(`{"alg":"none"}`))+"."+encode(payload)+".e30")
}

// source is a source whose answers a test chooses.
type source struct {
	mu      sync.Mutex
	answer  func(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error)
	calls   []time.Time
	refused []ingressauth.Token // one for each call
	revoked []ingressauth.Token
	revoke  error
}

// say has every call answered with this.
func (s *source) say(t ingressauth.Token, err error) {
	s.set(func(context.Context, ingressauth.Token) (ingressauth.Token, error) { return t, err })
}

func (s *source) set(answer func(context.Context, ingressauth.Token) (ingressauth.Token, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *source) Token(ctx context.Context) (ingressauth.Token, error) {
	return s.Renew(ctx, ingressauth.Token{})
}

func (s *source) Renew(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	s.mu.Lock()
	s.calls = append(s.calls, time.Now())
	s.refused = append(s.refused, refused)
	answer := s.answer
	s.mu.Unlock()
	return answer(ctx, refused)
}

func (s *source) Revoke(_ context.Context, t ingressauth.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = append(s.revoked, t)
	return s.revoke
}

func (s *source) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// toldOf returns what it was told of, for each call.
func (s *source) toldOf() []ingressauth.Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// logged is what was logged, a line each.
type logged struct {
	mu    sync.Mutex
	begun time.Time
	lines []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := fmt.Sprintf("%v %s", r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	if !l.begun.IsZero() {
		line = time.Since(l.begun).String() + " " + line
	}
	l.lines = append(l.lines, line)
	return nil
}

// take returns the lines since the last time that have this in them.
func (l *logged) take(part string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	l.lines = nil
	return lines
}

// start returns a Refresher that the test closes.
func start(t testing.TB, c refresh.Config) *refresh.Refresher {
	t.Helper()
	r, err := refresh.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// inProcess returns an endpoint without a network, and a client of it.
func inProcess() (*refreshtest.Endpoint, *refresh.Endpoint) {
	server := new(refreshtest.Endpoint)
	return server, &refresh.Endpoint{
		URL: "https://issuer.example/token", RevocationURL: "https://issuer.example/revoke", Transport: server,
		Auth: refresh.ClientSecretBasic("client", func(context.Context) (string, error) { return "made-up-secret", nil }),
	}
}

// wantToken wants a source to have this token.
func wantToken(t testing.TB, s ingressauth.Source, want ingressauth.Token) {
	t.Helper()
	if got, err := s.Token(t.Context()); err != nil || got != want {
		t.Errorf("%v %v, want %v", got, err, want)
	}
}

// wantError wants an error that says this.
func wantError(t testing.TB, err error, says string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want %q", err, says)
	}
}

// wantNoSecret wants nothing of these in a text.
func wantNoSecret(t testing.TB, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if bytes.Contains([]byte(text), []byte(s)) {
			t.Errorf("a secret is shown: %s", text)
		}
	}
}

// runProgram runs a program of the test binary with these variables.
func runProgram(t *testing.T, name string, environ ...string) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), append(environ, testProgram+"="+name)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
