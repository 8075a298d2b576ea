package refresh_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

// TestRefusals has a server refuse whatever comes, as fast as it can: the source is asked once
// a second.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		r := start(t, refresh.Config{Source: client})
		token, err := r.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for range 60 {
			if token, err = r.Renew(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d < 59*time.Second || server.Issued() != 61 {
			t.Errorf("%d tokens in %v", server.Issued(), d)
		}
	})
}

// TestRefusedDuringRenewal has a token be refused while a renewal is under way that does not
// know of it: the source is told afterwards, if that has brought the same one, or failed.
func TestRefusedDuringRenewal(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			first, second := newToken(t, "first"), newToken(t, "second")
			s := new(source)
			s.say(first, nil)
			r := start(t, refresh.Config{Source: s, Interval: time.Minute})
			wantToken(t, r, first)
			s.set(func(_ context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
				time.Sleep(10 * time.Second)
				switch {
				case refused == first:
					return second, nil
				case fails:
					return ingressauth.Token{}, errors.New("not now")
				}
				return first, nil
			})
			for s.called() < 2 { // then it takes ten seconds
				time.Sleep(time.Second)
			}
			if got, err := r.Renew(t.Context(), first); got != second || err != nil {
				t.Error(got, err)
			}
			if n := s.called(); n != 3 || !s.toldOf()[1].IsZero() || s.toldOf()[2] != first {
				t.Errorf("%d calls, told of %v", n, s.toldOf())
			}
		})
	}
}

// TestRefusedWhileFailing has a token be refused while the source fails, which would have another
// one for that: it is told at once, and of no refusal twice while it rests.
func TestRefusedWhileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		begun := time.Now()
		at := func(issued time.Duration) ingressauth.Token {
			return claims{"iss": "i", "sub": "s", "iat": begun.Add(issued).Unix(), "exp": begun.Add(10*time.Hour + issued).Unix()}.token(t)
		}
		first, older := at(time.Minute), at(0)
		s.say(first, nil)
		r := start(t, refresh.Config{Source: s, Interval: time.Hour})
		wantToken(t, r, first)
		s.say(older, nil) // the issuer's clock was set back
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		wantToken(t, r, first)
		if state, _ := r.State(); state.Failures < 10 {
			t.Fatalf("%+v", state)
		}
		if got, err := r.Renew(t.Context(), first); err != nil || got != older {
			t.Errorf("%v %v", got, err)
		}

		// In vain: the source is told once, and then when it is due.
		s.say(older, nil)
		calls := s.called()
		for range 1000 {
			if _, err := r.Renew(t.Context(), older); !errors.Is(err, ingressauth.ErrNoToken) {
				t.Fatal(err)
			}
		}
		if n := s.called() - calls; n != 1 || s.toldOf()[calls] != older {
			t.Errorf("the source was asked %d times", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, refused := range s.toldOf()[calls:] {
			if refused != older {
				t.Errorf("it was told of %v", refused)
			}
		}
	})
}

// TestRefusedWhileResting has a token be refused while the source wants to be left alone.
func TestRefusedWhileResting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, e := inProcess()
		r := start(t, refresh.Config{Source: e, Interval: time.Minute})
		token, err := r.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		server.FailWith(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		asked := len(server.Requests())
		_, err = r.Renew(t.Context(), token)
		wantError(t, err, "status 503")
		if n := len(server.Requests()); n != asked || n != 2 {
			t.Errorf("asked %d times", n)
		}
		server.Resume()
		time.Sleep(37 * time.Second)
		synctest.Wait()
		if got, err := r.Renew(t.Context(), token); err != nil || server.Generation(got.Reveal()) != 2 {
			t.Error(got, err)
		}
	})
}
