package refresh_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

// TestSchedule has tokens be renewed when between three and four fifths of their life have
// passed.
func TestSchedule(t *testing.T) {
	for _, tt := range []struct {
		name           string
		life, interval time.Duration
		from, to       time.Duration
	}{
		{"an hour", time.Hour, 0, 36 * time.Minute, 48 * time.Minute},
		{"the floor", time.Second, 0, time.Second, time.Second + time.Millisecond},
		{"an interval that is less", time.Hour, 10 * time.Minute, 8 * time.Minute, 10 * time.Minute},
		{"an interval that is more", time.Hour, 10 * time.Hour, 36 * time.Minute, 48 * time.Minute},
		{"an interval alone", 0, 10 * time.Minute, 8 * time.Minute, 10 * time.Minute},
		{"an interval that is short", 0, 50 * time.Millisecond, 40 * time.Millisecond, 50 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := inProcess()
				server.SetLife(tt.life)
				r := start(t, refresh.Config{Source: client, Interval: tt.interval})
				last := time.Now()
				var least, most time.Duration = time.Hour, 0
				for n := 1; n <= 200; n++ {
					state, changed := r.State()
					if n == 1 && state.Generation == 0 {
						<-changed
						state, changed = r.State()
					}
					if state.Generation != uint64(n) || server.Generation(state.Token.Reveal()) != n {
						t.Fatalf("%d: %+v", n, state)
					}
					if tt.life > 0 != !state.Expires.IsZero() || tt.life > 0 && state.Expires.Sub(state.Received) != tt.life {
						t.Fatalf("received at %v, expires at %v", state.Received, state.Expires)
					}
					wait := state.Next.Sub(state.Received)
					<-changed
					took := time.Since(last)
					if took != wait {
						t.Fatalf("renewed after %v, and %v was said", took, wait)
					}
					least, most = min(least, took), max(most, took)
					last = time.Now()
				}
				if span := tt.to - tt.from; least < tt.from || most > tt.to || most-least < span*9/10-time.Millisecond {
					t.Errorf("renewed after %v to %v, want %v to %v", least, most, tt.from, tt.to)
				}
			})
		})
	}
}

// TestOnDemand has a token without an end be renewed when it is refused, and not before.
func TestOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		r := start(t, refresh.Config{Source: client})
		first, err := r.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1000 * time.Hour)
		wantToken(t, r, first)
		if state, _ := r.State(); !state.Next.IsZero() || !state.Expires.IsZero() || server.Issued() != 1 {
			t.Errorf("%+v, %d issued", state, server.Issued())
		}
		second, err := r.Renew(t.Context(), first)
		if err != nil || second == first {
			t.Fatal(second, err)
		}
		wantToken(t, r, second)
		// Who was refused before that gets it, too.
		if got, err := r.Renew(t.Context(), first); got != second || err != nil || server.Issued() != 2 {
			t.Error(got, err, server.Issued())
		}
	})
}

// TestOneFlight has many callers wait for one attempt, each for as long as it likes.
func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		server.Stall()
		r := start(t, refresh.Config{Source: client})
		var got atomic.Int64
		var wait sync.WaitGroup
		for range 1000 {
			wait.Go(func() {
				if token, err := r.Token(t.Context()); err == nil && server.Generation(token.Reveal()) == 1 {
					got.Add(1)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		server.Resume()
		wait.Wait()
		if got.Load() != 1000 || server.Issued() != 1 {
			t.Errorf("%d of 1000 got the token of %d", got.Load(), server.Issued())
		}

		// The same for a refusal.
		first, _ := r.Token(t.Context())
		server.Stall()
		for range 1000 {
			wait.Go(func() {
				if token, err := r.Renew(t.Context(), first); err == nil && server.Generation(token.Reveal()) == 2 {
					got.Add(1)
				}
			})
		}
		time.Sleep(2 * time.Second)
		wantToken(t, r, first) // meanwhile
		server.Resume()
		wait.Wait()
		if got.Load() != 2000 || server.Issued() != 2 {
			t.Errorf("%d of 2000 got the token of %d", got.Load(), server.Issued())
		}
	})
}

// TestSlowSubscriber has one take its time, and find the newest.
func TestSlowSubscriber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		r := start(t, refresh.Config{Source: client, Interval: time.Minute})
		var saw []uint64
		state, changed := r.State()
		for len(saw) < 10 {
			<-changed
			state, changed = r.State()
			saw = append(saw, state.Generation)
			time.Sleep(10 * time.Minute)
		}
		for i, g := range saw[1:] {
			if g < saw[i]+10 {
				t.Errorf("it saw %v", saw)
			}
		}
		synctest.Wait()
		if state, _ := r.State(); state.Generation != uint64(server.Issued()) || server.Generation(state.Token.Reveal()) != server.Issued() {
			t.Errorf("%+v of %d", state, server.Issued())
		}
	})
}

// TestPlainSource has a source be no Renewer.
func TestPlainSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := newToken(t, "static")
		r := start(t, refresh.Config{Source: ingressauth.Static(token)})
		wantToken(t, r, token)
		if _, err := r.Renew(t.Context(), token); !errors.Is(err, ingressauth.ErrNoToken) {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestConfig refuses what makes no sense.
func TestConfig(t *testing.T) {
	secret := func(context.Context) (string, error) { return "x", nil }
	for _, tt := range []struct {
		config refresh.Config
		error  string
	}{
		{refresh.Config{}, "no Source"},
		{refresh.Config{Source: ingressauth.Static(newToken(t, "x")), Interval: -1}, "an Interval of less than 10ms"},
		{refresh.Config{Source: &refresh.File{}}, "a File without an absolute Path"},
		{refresh.Config{Source: &refresh.File{Path: "token"}}, "a File without an absolute Path"},
		{refresh.Config{Source: ingressauth.Static(newToken(t, "x")), Interval: 1}, "an Interval of less than 10ms"},
		{refresh.Config{Source: &refresh.Endpoint{URL: "https://x.example", Auth: refresh.PrivateKeyJWT("c", "", "", nil)}}, "PrivateKeyJWT without a key"},
		{refresh.Config{Source: &refresh.Endpoint{URL: "https://x.example", Auth: refresh.ClientSecretBasic("c", nil)}}, "ClientSecretBasic without a secret"},
		{refresh.Config{Source: &refresh.Endpoint{URL: "https://x.example", Auth: refresh.ClientSecretBasic("", secret)}}, "a client without an id"},
		{refresh.Config{Source: &refresh.Endpoint{URL: "https://x.example", Auth: refresh.PrivateKeyJWT("", "", "", nil)}}, "a client without an id"},
		{refresh.Config{Source: &refresh.Endpoint{URL: "https://x.example", Auth: refresh.TLSClientAuth("", nil)}}, "a client without an id"},
		{refresh.Config{Source: &refresh.Command{}}, "Command without Args"},
		{refresh.Config{Source: &refresh.Command{Args: []string{""}}}, "Command without Args"},
		{refresh.Config{Source: &refresh.Command{Args: []string{"x"}, Timeout: -1}}, "a Timeout that is negative"},
		{refresh.Config{Source: &refresh.Command{Args: []string{"x"}, Timeout: 61 * time.Second}}, "or more than 1m0s"},
		{refresh.Config{Source: &refresh.Endpoint{}}, "the URL of an endpoint is https://"},
	} {
		_, err := refresh.New(tt.config)
		wantError(t, err, tt.error)
	}
}
