package refresh_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

// replace has a file hold a text, by a rename.
func replace(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestFile(t *testing.T) {
	// Nothing else is found.
	t.Setenv("CLAUDE_CODE_SESSION_ACCESS_TOKEN", "of-the-variable")
	t.Setenv("CLAUDE_SESSION_INGRESS_TOKEN_FILE", "/nowhere")
	path := filepath.Join(t.TempDir(), "token")
	f := &refresh.File{Path: path}
	_, err := f.Token(t.Context())
	if !errors.Is(err, ingressauth.ErrNoToken) || err.Error() != "no session token: token file "+path+": it does not exist" {
		t.Error(err)
	}
	first, second := newToken(t, "first"), newToken(t, "second")
	replace(t, path, "first\n")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if got, err := f.Token(t.Context()); err == nil && got == first {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a file that appears is not found")
		}
	}
	// A refusal waits for somebody to renew it.
	go func() {
		time.Sleep(50 * time.Millisecond)
		replace(t, path, "second\n")
	}()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if got, err := f.Renew(t.Context(), first); err == nil && got == second {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(got, err)
		}
	}
	if _, err := f.Renew(t.Context(), second); !errors.Is(err, ingressauth.ErrNoToken) || strings.Contains(err.Error(), "variable") {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("a\nb"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&refresh.File{Path: path}).Token(t.Context()); err == nil || errors.Is(err, ingressauth.ErrNoToken) {
		t.Error(err)
	}
}

// TestFileFollowed has a Refresher follow a file.
func TestFileFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	log := &logged{}
	r := start(t, refresh.Config{Source: &refresh.File{Path: path}, Interval: 10 * time.Millisecond, Log: slog.New(log)})
	state, changed := r.State()
	for state.Err == nil {
		<-changed
		state, changed = r.State()
	}
	wantError(t, state.Err, "it does not exist")
	for state.Failures < 5 {
		<-changed
		state, changed = r.State()
	}
	// What happens is logged just after it is known.
	said := func(part string) (lines []string) {
		for deadline := time.Now().Add(10 * time.Second); len(lines) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			lines = log.take(part)
		}
		return lines
	}
	if lines := said("ERROR there is no session token: it could not be got"); len(lines) != 1 {
		t.Errorf("logged: %q", lines)
	}
	for n := uint64(1); n <= 20; n++ {
		text := strings.Repeat("x", int(n))
		replace(t, path, text)
		for state.Generation < n {
			select {
			case <-changed:
			case <-time.After(20 * time.Second):
				t.Fatalf("generation %d is not seen: %+v", n, state)
			}
			state, changed = r.State()
		}
		wantToken(t, r, newToken(t, text))
	}
	// One that is refused is said once, however often it is looked at.
	refused, _ := r.Token(t.Context())
	log.take("")
	if _, err := r.Renew(t.Context(), refused); !errors.Is(err, ingressauth.ErrNoToken) {
		t.Error(err)
	}
	for state, changed := r.State(); state.Failures < 3; state, changed = r.State() {
		<-changed
	}
	if lines := said("WARN"); len(lines) != 1 {
		t.Errorf("logged: %q", lines)
	}
	// Whoever is refused has it looked at, at once.
	token, _ := r.Token(t.Context())
	replace(t, path, "other")
	if got, err := r.Renew(t.Context(), token); err != nil || got.Reveal() != "other" {
		t.Error(got, err)
	}
}
