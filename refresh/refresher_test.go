package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
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

// TestOutage has the source fail for half a token's life, and for twice as long as it lives.
func TestOutage(t *testing.T) {
	const life, begins = time.Hour, 20 * time.Minute
	for _, fails := range []time.Duration{life / 2, 2 * life} {
		t.Run(fails.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := inProcess()
				server.SetLife(life)
				log := &logged{begun: time.Now()}
				r := start(t, refresh.Config{Source: client, Log: slog.New(log)})
				begun := time.Now()
				first, err := r.Token(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				until := func(d time.Duration) { time.Sleep(time.Until(begun.Add(d))); synctest.Wait() }

				until(begins)
				server.Fail(http.StatusServiceUnavailable, "temporarily_unavailable")
				log.take("")
				until(36*time.Minute - 1)
				if lines := log.take(""); len(lines) > 0 {
					t.Errorf("before anything is due: %q", lines)
				}

				// It is tried, in vain, and the old token serves on, and a little over a
				// minute apart at most.
				end := begins + fails
				for at := 36 * time.Minute; at < min(end, life); at += time.Minute {
					until(at)
					wantToken(t, r, first)
				}
				until(min(end, life) - 1)
				wantToken(t, r, first)
				lines := log.take("")
				for _, line := range lines {
					if !strings.Contains(line, "WARN the session token was not renewed, and serves on error=ask token endpoint: temporarily_unavailable") {
						t.Errorf("logged: %s", line)
					}
				}
				state, _ := r.State()
				if state.Failures != len(lines) || len(lines) < int((min(end, life)-48*time.Minute)/time.Minute) || state.Err == nil || state.Generation != 1 ||
					!state.Next.After(time.Now()) || state.Next.After(time.Now().Add(time.Minute)) {
					t.Errorf("%d lines, and %+v", len(lines), state)
				}

				if end > life {
					// At its very end it serves no more.
					until(life)
					lines := log.take("")
					if len(lines) != 1 || !strings.HasPrefix(lines[0], "1h0m0s ERROR there is no session token any more: it has expired, and could not be renewed error=ask token endpoint: temporarily_unavailable") {
						t.Errorf("logged at the end: %q", lines)
					}
					for at := life; at < end; at += time.Minute {
						until(at)
						for _, renew := range []bool{false, true} {
							got, err := r.Token(t.Context())
							if renew {
								got, err = r.Renew(t.Context(), first)
							}
							if !got.IsZero() || errors.Is(err, ingressauth.ErrNoToken) {
								t.Fatalf("after %v: %v %v", at, got, err)
							}
							wantError(t, err, "the session token expired at "+begun.Add(life).UTC().Format(time.RFC3339)+" and could not be renewed: ask token endpoint: temporarily_unavailable")
							var answer *refresh.EndpointError
							if !errors.As(err, &answer) || answer.Status != http.StatusServiceUnavailable {
								t.Errorf("%#v", answer)
							}
						}
					}
					if n := len(log.take("ERROR")); n < int((end-life)/(time.Minute))-1 || n > int((end-life)/(time.Minute/2)) {
						t.Errorf("%d failures were logged in %v", n, end-life)
					}
				}

				// It is over, and soon there is another token.
				until(end)
				failures, changed := r.State()
				server.Resume()
				<-changed
				if d := time.Since(begun.Add(end)); d > time.Minute {
					t.Errorf("renewed %v after the end of the outage", d)
				}
				synctest.Wait()
				second, err := r.Token(t.Context())
				if err != nil || second == first {
					t.Error(second, err)
				}
				if lines := log.take(fmt.Sprintf("INFO the source of session tokens works again failures=%d", failures.Failures)); len(lines) != 1 {
					t.Errorf("logged: %q", lines)
				}
				if state, _ := r.State(); state.Failures != 0 || state.Err != nil || state.Generation != 2 {
					t.Errorf("%+v", state)
				}
				asked := len(server.Requests())
				if most := int((end-36*time.Minute)/time.Minute)*2 + 20; asked > most {
					t.Errorf("the source was asked %d times in %v", asked, end)
				}
			})
		})
	}
}

// TestFirst has the first attempt fail.
func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		server.Fail(http.StatusUnauthorized, "invalid_client")
		log := &logged{}
		r := start(t, refresh.Config{Source: client, Log: slog.New(log)})
		for range 3 { // at once
			_, err := r.Token(t.Context())
			wantError(t, err, "get session token: ask token endpoint: invalid_client (the server does not believe the client: see its id and its secret, key or certificate): it was told to")
		}
		synctest.Wait()
		if lines := log.take("ERROR there is no session token: it could not be got"); len(lines) != 1 || len(server.Requests()) != 1 {
			t.Errorf("logged %q, asked %d times", lines, len(server.Requests()))
		}
		// What only a person can mend is asked for once a minute.
		server.Resume()
		time.Sleep(time.Minute - time.Second)
		if n := len(server.Requests()); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(13 * time.Second)
		synctest.Wait()
		if _, err := r.Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestRetryAfter heeds what a server says.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		server.FailWith(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "47")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		r := start(t, refresh.Config{Source: client})
		_, err := r.Token(t.Context())
		wantError(t, err, "the server answered with status 429")
		time.Sleep(46 * time.Second)
		synctest.Wait()
		if n := len(server.Requests()); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if _, err := r.Renew(t.Context(), newToken(t, "x")); err == nil {
			t.Error("no error")
		}
		if n := len(server.Requests()); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := len(server.Requests()); n != 2 {
			t.Errorf("asked %d times", n)
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

// TestRefusals has a server refuse whatever comes, as fast as it can: the source is asked once
// a second.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := inProcess()
		r := start(t, refresh.Config{Source: client})
		token, err := r.Token(t.Context())
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

// TestWrongToken has sources return what is not to be taken in the place of a token.
func TestWrongToken(t *testing.T) {
	const hour = 3600
	key := func(t *testing.T, text, organization string) ingressauth.Token {
		token, err := ingressauth.NewToken("sk-ant-sid01-"+text, organization)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, tt := range []struct {
		name      string
		old, next func(t *testing.T, now int64) ingressauth.Token
		error     string // "" where it is taken
		refused   bool   // also where the old one was refused
	}{
		{"older by iat",
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iss": "i", "sub": "s", "iat": now, "exp": now + hour}.token(t)
			},
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iss": "i", "sub": "s", "iat": now - 1, "exp": now + hour}.token(t)
			},
			"the source returned an older token", false},
		{"older by exp",
			func(t *testing.T, now int64) ingressauth.Token { return claims{"exp": now + 2*hour}.token(t) },
			func(t *testing.T, now int64) ingressauth.Token { return claims{"exp": now + 2*hour - 1}.token(t) },
			"the source returned an older token", false},
		{"newer, and ends sooner",
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iat": now, "exp": now + 2*hour}.token(t)
			},
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iat": now + 1, "exp": now + 2*hour - 60}.token(t)
			},
			"", false},
		{"of the same time",
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iat": now, "exp": now + 2*hour, "jti": "1"}.token(t)
			},
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iat": now, "exp": now + 2*hour, "jti": "2"}.token(t)
			},
			"", false},
		{"another subject",
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iss": "i", "sub": "s", "exp": now + hour}.token(t)
			},
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iss": "i", "sub": "t", "exp": now + 2*hour}.token(t)
			},
			"of another session", true},
		{"another issuer",
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iss": "i", "sub": "s", "exp": now + hour}.token(t)
			},
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iss": "j", "sub": "s", "exp": now + 2*hour}.token(t)
			},
			"of another session", true},
		{"no subject, which says nothing",
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iss": "i", "sub": "s", "exp": now + hour}.token(t)
			},
			func(t *testing.T, now int64) ingressauth.Token {
				return claims{"iss": "i", "exp": now + 2*hour}.token(t)
			},
			"", false},
		{"another organisation",
			func(t *testing.T, _ int64) ingressauth.Token { return key(t, "a", "org-1") },
			func(t *testing.T, _ int64) ingressauth.Token { return key(t, "b", "org-2") },
			"of another session", true},
		{"another session key",
			func(t *testing.T, _ int64) ingressauth.Token { return key(t, "a", "org-1") },
			func(t *testing.T, _ int64) ingressauth.Token { return key(t, "b", "org-1") },
			"", false},
		{"expired",
			func(t *testing.T, now int64) ingressauth.Token { return newToken(t, "opaque") },
			func(t *testing.T, now int64) ingressauth.Token { return claims{"exp": now - 1}.token(t) },
			"a token that has expired, or the clock", true},
		{"none",
			func(t *testing.T, now int64) ingressauth.Token { return newToken(t, "opaque") },
			func(t *testing.T, now int64) ingressauth.Token { return ingressauth.Token{} },
			"no session token", true},
	} {
		for _, refused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/refused %v", tt.name, refused), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := new(source)
					now := time.Now().Unix()
					old, next := tt.old(t, now), tt.next(t, now)
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

// TestClocks has time pass on one clock that does not on the other.
func TestClocks(t *testing.T) {
	for _, jwt := range []bool{false, true} {
		t.Run(map[bool]string{false: "expires_in", true: "exp"}[jwt], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var skew atomic.Int64
				wall := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
				set := func(d time.Duration) { skew.Store(int64(d)) }
				server, client := inProcess()
				if jwt {
					// The issuer's clock is right: it goes as ours would, if nobody set it.
					var suspended time.Duration
					set = func(d time.Duration) {
						suspended = d
						skew.Store(int64(d))
					}
					server.SetText(func(n int) string {
						now := time.Now().Add(suspended).Unix()
						return claims{"iss": "i", "sub": "s", "iat": now, "exp": now + 3600, "jti": n}.token(t).Reveal()
					})
				} else {
					server.SetLife(time.Hour)
				}
				r := start(t, refresh.Config{Source: client, Now: wall})
				generation := func() int {
					t.Helper()
					token, err := r.Token(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					return server.Generation(token.Reveal())
				}
				if generation() != 1 {
					t.Fatal(generation())
				}
				// The machine is suspended for ten hours: timers stand still, and whoever
				// asks next gets a token that is good.
				time.Sleep(time.Minute)
				set(10 * time.Hour)
				if n := generation(); n != 2 {
					t.Errorf("generation %d after ten hours of rest", n)
				}
				// Suspended until it is due, but not to its end: it serves, and is renewed.
				time.Sleep(time.Minute)
				set(10*time.Hour + 50*time.Minute)
				if n := generation(); n != 2 {
					t.Errorf("generation %d after fifty minutes of rest", n)
				}
				synctest.Wait()
				if n := generation(); n != 3 {
					t.Errorf("generation %d after fifty minutes of rest, and a moment", n)
				}
				// Whoever watches learns of it without asking.
				_, changed := r.State()
				set(30 * time.Hour)
				begun := time.Now()
				<-changed
				if d := time.Since(begun); d > 5*time.Second {
					t.Errorf("renewed %v after the rest", d)
				}
				if n := generation(); n != 4 {
					t.Errorf("generation %d", n)
				}
				// The clock is set back by a day: the other one goes on.
				if !jwt {
					skew.Store(0)
					for range 10 {
						time.Sleep(time.Hour)
						if n := generation(); !server.Accepts(r4(r, t), 1) {
							t.Errorf("generation %d of %d", n, server.Issued())
						}
					}
					if server.Issued() < 12 {
						t.Errorf("%d issued", server.Issued())
					}
				}
			})
		})
	}
}

func r4(r *refresh.Refresher, t *testing.T) string {
	token, err := r.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token.Reveal()
}

// TestWrongClock has a clock that is slow by a day, with tokens that say when they end: they do
// so an hour after they were issued all the same. With one that is fast, they have all ended.
func TestWrongClock(t *testing.T) {
	for _, skew := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := inProcess()
				server.SetText(func(n int) string {
					now := time.Now().Unix()
					return claims{"iss": "i", "sub": "s", "iat": now, "exp": now + 3600, "jti": n}.token(t).Reveal()
				})
				r := start(t, refresh.Config{Source: client, Now: func() time.Time { return time.Now().Add(skew) }})
				if skew > 0 {
					_, err := r.Token(t.Context())
					wantError(t, err, "the source returned a token that has expired, or the clock of this machine is wrong")
					return
				}
				for range 10 {
					time.Sleep(time.Hour)
					if _, err := r.Token(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if n := server.Issued(); n < 10*60/48 {
					t.Errorf("%d tokens in ten hours", n)
				}
			})
		})
	}
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

// TestStuckSource has a source not return: it has a minute.
func TestStuckSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		s.set(func(ctx context.Context, _ ingressauth.Token) (ingressauth.Token, error) {
			<-ctx.Done()
			return ingressauth.Token{}, context.Cause(ctx)
		})
		r := start(t, refresh.Config{Source: s})
		begun := time.Now()
		_, err := r.Token(t.Context())
		wantError(t, err, "get session token: no token within 1m0s")
		if d := time.Since(begun); d != time.Minute {
			t.Error(d)
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
	secret := func() (string, error) { return "x", nil }
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
		{refresh.Config{Source: &refresh.Endpoint{URL: "https://x.example", Auth: refresh.TLSClientAuth("", nil)}}, "a client without an id"},
		{refresh.Config{Source: &refresh.Command{}}, "Command without Args"},
		{refresh.Config{Source: &refresh.Command{Args: []string{""}}}, "Command without Args"},
		{refresh.Config{Source: &refresh.Command{Args: []string{"x"}, Timeout: -1}}, "negative Timeout"},
		{refresh.Config{Source: &refresh.Endpoint{}}, "the URL of an endpoint is https://"},
	} {
		_, err := refresh.New(tt.config)
		wantError(t, err, tt.error)
	}
}
