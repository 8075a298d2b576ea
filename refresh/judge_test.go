package refresh_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/refresh"
)

// TestSameText has a source return what it returned before.
func TestSameText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		begun := time.Now()
		first := claims{"iss": "i", "sub": "s", "exp": begun.Add(time.Hour).Unix()}.token(t)
		second := claims{"iss": "i", "sub": "s", "exp": begun.Add(2 * time.Hour).Unix()}.token(t)
		s.say(first, nil)
		r := start(t, refresh.Config{Source: s})
		// A helper that caches has another token a minute before the end, and no sooner.
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		s.say(second, nil)
		if state, _ := r.State(); state.Generation != 1 || state.Failures != 0 || state.Token != first || s.called() < 3 || s.called() > 15 {
			t.Errorf("%d calls, %+v", s.called(), state)
		}
		wantToken(t, r, first)
		time.Sleep(time.Minute - time.Second)
		wantToken(t, r, second)
		if state, _ := r.State(); state.Generation != 2 {
			t.Errorf("%+v", state)
		}

		// It is refused, and there is no other: that is a failure, and the token stays.
		_, err := r.Renew(t.Context(), second)
		if !errors.Is(err, ingressauth.ErrNoToken) {
			t.Error(err)
		}
		wantError(t, err, "renew refused session token: no session token but the one that a server refused")
		wantToken(t, r, second)
		calls := s.called()
		if _, err := r.Renew(t.Context(), second); !errors.Is(err, ingressauth.ErrNoToken) || s.called() != calls {
			t.Errorf("again: %v, %d calls", err, s.called()-calls)
		}
		// The source is told of that until it has another.
		time.Sleep(2 * time.Minute)
		third := claims{"iss": "i", "sub": "s", "exp": begun.Add(90 * time.Minute).Unix()}.token(t)
		s.say(third, nil) // and be it one that ends before
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wantToken(t, r, third)
		s.mu.Lock()
		defer s.mu.Unlock()
		if last := s.refused[len(s.refused)-1]; last != second || s.refused[calls-1] != second || !s.refused[calls-2].IsZero() {
			t.Errorf("told of %v", s.refused)
		}
	})
}

// TestLivesOn has an endpoint return the same token, and say anew how long it is good.
func TestLivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		server.SetLife(time.Hour)
		server.SetText(func(int) string { return "always-the-same" })
		r := start(t, refresh.Config{Source: client})
		for range 100 {
			time.Sleep(time.Hour)
			wantToken(t, r, newToken(t, "always-the-same"))
		}
		if state, _ := r.State(); state.Generation != 1 || state.Failures != 0 {
			t.Errorf("%+v", state)
		}
		// It does not say any more: what it said last holds.
		server.SetLife(0)
		time.Sleep(time.Hour)
		synctest.Wait()
		_, err := r.Token(t.Context())
		wantError(t, err, "could not be renewed: the source returned a token that has expired")
	})
}

func phantomOf(t *testing.T, isSessionKey bool) ingressauth.Token {
	token, err := ingressauth.NewToken(phantom.New(isSessionKey), "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestWrongToken has sources return what is not to be taken in the place of a token.
func TestWrongToken(t *testing.T) {
	const (
		hour = 3600
		now  = 946684800 // when fake time begins
	)
	key := func(text, organization string) ingressauth.Token {
		token, err := ingressauth.NewToken("sk-ant-sid01-"+text, organization)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, tt := range []struct {
		name      string
		old, next ingressauth.Token
		error     string // "" where it is taken
		refused   bool   // also where the old one was refused
	}{
		{"older by iat",
			claims{"iss": "i", "sub": "s", "iat": now, "exp": now + hour}.token(t),
			claims{"iss": "i", "sub": "s", "iat": now - 1, "exp": now + hour}.token(t),
			"the source returned an older token", false},
		{"older by exp",
			claims{"exp": now + 2*hour}.token(t),
			claims{"exp": now + 2*hour - 1}.token(t),
			"the source returned an older token", false},
		{"newer, and ends sooner",
			claims{"iat": now, "exp": now + 2*hour}.token(t),
			claims{"iat": now + 1, "exp": now + 2*hour - 60}.token(t),
			"", false},
		{"of the same time",
			claims{"iat": now, "exp": now + 2*hour, "jti": "1"}.token(t),
			claims{"iat": now, "exp": now + 2*hour, "jti": "2"}.token(t),
			"", false},
		{"another subject",
			claims{"iss": "i", "sub": "s", "exp": now + hour}.token(t),
			claims{"iss": "i", "sub": "t", "exp": now + 2*hour}.token(t),
			"of another session", true},
		{"a phantom",
			claims{"iss": "i", "sub": "s", "exp": now + hour}.token(t),
			phantomOf(t, false),
			"what was found is a phantom", true},
		{"a phantom like a session key", key("a", "org-1"), phantomOf(t, true), "what was found is a phantom", true},
		{"another issuer",
			claims{"iss": "i", "sub": "s", "exp": now + hour}.token(t),
			claims{"iss": "j", "sub": "s", "exp": now + 2*hour}.token(t),
			"of another session", true},
		{"no subject, which says nothing",
			claims{"iss": "i", "sub": "s", "exp": now + hour}.token(t),
			claims{"iss": "i", "exp": now + 2*hour}.token(t),
			"", false},
		{"another organisation",
			key("a", "org-1"),
			key("b", "org-2"),
			"of another session", true},
		{"another session key",
			key("a", "org-1"),
			key("b", "org-1"),
			"", false},
		{"expired",
			newToken(t, "opaque"),
			claims{"exp": now - 1}.token(t),
			"a token that has expired, or the clock", true},
		{"none",
			newToken(t, "opaque"),
			ingressauth.Token{},
			"no session token", true},
	} {
		for _, refused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/refused %v", tt.name, refused), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := new(source)
					old, next := tt.old, tt.next
					if time.Now().Unix() != now {
						t.Fatal("fake time begins at ", time.Now())
					}
					s.say(old, nil)
					log := &logged{}
					r := start(t, refresh.Config{Source: s, Interval: 10 * time.Minute, Log: slog.New(log)})
					wantToken(t, r, old)
					s.say(next, nil)
					fails := tt.error != "" && (!refused || tt.refused)
					var got ingressauth.Token
					var err error
					if refused {
						got, err = r.Renew(t.Context(), old)
					} else {
						time.Sleep(10 * time.Minute)
						got, err = r.Token(t.Context())
					}
					synctest.Wait()
					state, _ := r.State()
					switch {
					case !fails:
						if got != next || err != nil || state.Generation != 2 || state.Err != nil {
							t.Errorf("%v %v %+v", got, err, state)
						}
					case refused:
						wantError(t, err, tt.error)
					case got != old || err != nil:
						t.Error(got, err)
					}
					if fails {
						wantError(t, state.Err, tt.error)
						wantToken(t, r, old)
						if state.Generation != 1 || state.Failures == 0 || len(log.take("WARN the session token was not renewed, and serves on")) == 0 {
							t.Errorf("%+v", state)
						}
					}
				})
			})
		}
	}
}

// TestThroughOpaque has a session's token, then an opaque one, and then another session's.
func TestThroughOpaque(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		s.say(claims{"iss": "i", "sub": "s"}.token(t), nil)
		r := start(t, refresh.Config{Source: s, Interval: time.Minute})
		opaque := newToken(t, "opaque")
		time.Sleep(time.Minute)
		s.say(opaque, nil)
		time.Sleep(2 * time.Minute)
		wantToken(t, r, opaque)
		s.say(claims{"iss": "i", "sub": "other"}.token(t), nil)
		time.Sleep(2 * time.Minute)
		wantToken(t, r, opaque)
		state, _ := r.State()
		wantError(t, state.Err, "a token of another session")
	})
}

// TestThroughJWT has a session key, then a JWT, and then the key of another organisation.
func TestThroughJWT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		key := func(organization string) ingressauth.Token {
			token, err := ingressauth.NewToken("sk-ant-sid01-"+organization, organization)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		s.say(key("org-1"), nil)
		r := start(t, refresh.Config{Source: s, Interval: time.Minute})
		wantToken(t, r, key("org-1"))
		named := claims{"iss": "i", "sub": "s"}.token(t)
		s.say(named, nil)
		time.Sleep(2 * time.Minute)
		s.say(key("org-2"), nil)
		time.Sleep(2 * time.Minute)
		wantToken(t, r, named)
		state, _ := r.State()
		wantError(t, state.Err, "a token of another session")
	})
}

// TestOrganizationCounts has a session key act for an organisation, after it did for none.
func TestOrganizationCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		key := func(organization string) ingressauth.Token {
			token, err := ingressauth.NewToken("sk-ant-sid01-made-up", organization)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		s.say(key(""), nil)
		r := start(t, refresh.Config{Source: s, Interval: time.Minute})
		wantToken(t, r, key(""))
		s.say(key("org-1"), nil)
		time.Sleep(time.Minute)
		wantToken(t, r, key("org-1"))
		if state, _ := r.State(); state.Generation != 2 {
			t.Errorf("%+v", state)
		}
	})
}
