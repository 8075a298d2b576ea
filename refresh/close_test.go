package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

// TestClose ends everything, and revokes.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		server.SetLife(time.Hour)
		var issuedAt []time.Time
		server.SetText(func(n int) string {
			issuedAt = append(issuedAt, time.Now())
			return fmt.Sprint("made-up-", n)
		})
		r := start(t, refresh.Config{Source: client})
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		token, err := r.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		old, changed := r.State()
		closedAt := time.Now()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		<-changed
		issued := server.Issued()
		if old.Generation != uint64(issued) {
			t.Fatalf("generation %d of %d", old.Generation, issued)
		}
		const closed = "the refresher of session tokens is closed"
		for range 2 {
			_, err := r.Token(t.Context())
			wantError(t, err, closed)
			if errors.Is(err, ingressauth.ErrNoToken) {
				t.Error("another source may take its place")
			}
			_, err = r.Renew(t.Context(), token)
			wantError(t, err, closed)
			state, _ := r.State()
			wantError(t, state.Err, closed)
			if !state.Token.IsZero() {
				t.Errorf("%+v", state)
			}
			time.Sleep(10 * time.Hour)
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		if server.Issued() != issued {
			t.Error("it goes on")
		}
		// The newest, and whichever before has not ended.
		var want []string
		for i, at := range issuedAt {
			if closedAt.Before(at.Add(time.Hour)) {
				want = append(want, fmt.Sprint("made-up-", i+1))
			}
		}
		revoked := server.Revoked()
		slices.Sort(revoked)
		slices.Sort(want)
		if !slices.Equal(revoked, want) {
			t.Errorf("revoked: %v, want %v", revoked, want)
		}
	})
}

// TestCloseDuringFlight has an attempt be under way, and bring a token all the same.
func TestCloseDuringFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		token := newToken(t, "late")
		s.set(func(ctx context.Context, _ ingressauth.Token) (ingressauth.Token, error) {
			<-ctx.Done()
			return token, nil
		})
		s.revoke = errors.New("the server is gone")
		r := start(t, refresh.Config{Source: s})
		waits := make(chan error)
		go func() {
			_, err := r.Token(t.Context())
			waits <- err
		}()
		synctest.Wait()
		wantError(t, r.Close(), "revoke session token bearer:"+token.Fingerprint()+": the server is gone")
		wantError(t, <-waits, "the refresher of session tokens is closed")
		if len(s.revoked) != 1 || s.revoked[0] != token {
			t.Errorf("revoked: %v", s.revoked)
		}
	})
}

// TestCloseBeforeAttempt has an attempt wait for its time: the source is not asked any more.
func TestCloseBeforeAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		r := start(t, refresh.Config{Source: client})
		token, err := r.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan error)
		go func() {
			_, err := r.Renew(t.Context(), token)
			waits <- err
		}()
		synctest.Wait()
		begun := time.Now()
		r.Close()
		wantError(t, <-waits, "the refresher of session tokens is closed")
		if server.Issued() != 1 || time.Since(begun) > 0 {
			t.Errorf("%d issued, %v later", server.Issued(), time.Since(begun))
		}
	})
}

// TestCloseRevokesEight has tokens that never end be replaced often.
func TestCloseRevokesEight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		r := start(t, refresh.Config{Source: client, Interval: time.Minute})
		time.Sleep(time.Hour)
		synctest.Wait()
		r.Close()
		revoked := server.Revoked()
		if len(revoked) != 9 {
			t.Fatalf("%d revoked", len(revoked))
		}
		for _, text := range revoked {
			if server.Accepts(text, 9) || server.Generation(text) <= server.Issued()-9 {
				t.Errorf("generation %d of %d is revoked", server.Generation(text), server.Issued())
			}
		}
		// Where it cannot be done, that is no error.
		client.RevocationURL = ""
		if err := client.Revoke(t.Context(), newToken(t, "x")); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
}

// TestCloseRevokesUntaken has tokens be issued that were not taken.
func TestCloseRevokesUntaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		ours, theirs := claims{"iss": "i", "sub": "s"}.token(t), claims{"iss": "i", "sub": "other"}.token(t)
		s.say(ours, nil)
		r := start(t, refresh.Config{Source: s, Interval: time.Minute})
		wantToken(t, r, ours)
		s.say(theirs, nil)
		time.Sleep(10 * time.Minute)
		wantToken(t, r, ours)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if len(s.revoked) != 2 || !slices.Contains(s.revoked, ours) || !slices.Contains(s.revoked, theirs) {
			t.Errorf("revoked: %v", s.revoked)
		}
	})
}

// TestCannotRevoke has a source that cannot, which is no error.
func TestCannotRevoke(t *testing.T) {
	s := new(source)
	s.revoke = errors.ErrUnsupported
	token := newToken(t, "made-up")
	s.say(token, nil)
	r := start(t, refresh.Config{Source: s})
	wantToken(t, r, token)
	if err := r.Close(); err != nil || len(s.revoked) != 1 {
		t.Errorf("%v %v", err, s.revoked)
	}
}
