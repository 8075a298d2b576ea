package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

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

// TestNearTheEnd has attempts be more frequent as the end comes near.
func TestNearTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, e := inProcess()
		server.SetLife(time.Hour)
		start(t, refresh.Config{Source: e})
		synctest.Wait()
		server.Fail(http.StatusBadGateway, "")
		time.Sleep(time.Hour - 10*time.Second)
		before := len(server.Requests())
		time.Sleep(10*time.Second - 1)
		if n := len(server.Requests()) - before; n < 3 || n > 10 {
			t.Errorf("asked %d times in the last ten seconds", n)
		}
	})
}

// TestBackoffBeginsAnew has a source fail for long, work, and fail again: it is asked again soon.
func TestBackoffBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		token := newToken(t, "made-up")
		s.say(token, nil)
		r := start(t, refresh.Config{Source: s, Interval: 10 * time.Minute})
		for range 3 {
			s.say(ingressauth.Token{}, errors.New("not now"))
			_, changed := r.State()
			<-changed
			state, _ := r.State()
			if wait := time.Until(state.Next); state.Failures != 1 || wait > 2*time.Second {
				t.Errorf("%+v", state)
			}
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			if state, _ := r.State(); time.Until(state.Next) > time.Minute || state.Failures < 15 {
				t.Errorf("%+v", state)
			}
			s.say(token, nil)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			wantToken(t, r, token)
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

// TestFirstKeepsSession has a session whose token has ended, and cannot be renewed, not be taken
// for one that never was there.
func TestFirstKeepsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		s.say(claims{"exp": time.Now().Add(time.Hour).Unix()}.token(t), nil)
		r := start(t, refresh.Config{Source: s})
		first := ingressauth.First(r, ingressauth.Static(newToken(t, "of-another-session")))
		if _, err := first.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.say(ingressauth.Token{}, ingressauth.ErrNoToken)
		time.Sleep(2 * time.Hour)
		if got, err := first.Token(t.Context()); err == nil {
			t.Errorf("%v takes its place", got)
		}
		r.Close()
		if got, err := first.Token(t.Context()); err == nil {
			t.Errorf("%v takes its place after the end", got)
		}
	})
}

// TestFirstHasNone has a source that never had a token give way.
func TestFirstHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		s.say(ingressauth.Token{}, ingressauth.ErrNoToken)
		other := newToken(t, "other")
		wantToken(t, ingressauth.First(start(t, refresh.Config{Source: s}), ingressauth.Static(other)), other)
	})
}
