package refresh_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth/refresh"
)

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
						if n := generation(); n != server.Issued() {
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

// TestCorrectedClock has a wall clock that is wrong when a token comes, and is corrected while
// the source has the same one still.
func TestCorrectedClock(t *testing.T) {
	for _, wrong := range []time.Duration{-365 * 24 * time.Hour, -2 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var skew atomic.Int64
				skew.Store(int64(wrong))
				s := new(source)
				begun := time.Now()
				token := claims{"iss": "i", "sub": "s", "iat": begun.Unix(), "exp": begun.Add(4 * time.Hour).Unix()}.token(t)
				s.say(token, nil)
				r := start(t, refresh.Config{Source: s, Interval: time.Minute, Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }})
				for at := time.Duration(0); at < 4*time.Hour; at += 10 * time.Minute {
					if at == time.Hour {
						skew.Store(0)
					}
					if got, err := r.Token(t.Context()); err != nil || got != token {
						t.Fatalf("after %v: %v %v", at, got, err)
					}
					time.Sleep(10 * time.Minute)
				}
				if got, err := r.Token(t.Context()); err == nil {
					t.Errorf("after its end: %v", got)
				}
			})
		})
	}
}

// TestTwoEnds has a source and a token say when it ends, each by one clock the earlier.
func TestTwoEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, e := inProcess()
		server.SetLife(2 * time.Hour)
		begun := time.Now()
		server.SetText(func(int) string {
			return claims{"iat": begun.Unix(), "exp": begun.Add(time.Hour).Unix()}.token(t).Reveal()
		})
		// By the wall clock, which is slow, "exp" is the later.
		r := start(t, refresh.Config{Source: e, Now: func() time.Time { return time.Now().Add(-24 * time.Hour) }})
		wantToken(t, r, claims{"iat": begun.Unix(), "exp": begun.Add(time.Hour).Unix()}.token(t))
		time.Sleep(time.Hour)
		if got, err := r.Token(t.Context()); err == nil {
			t.Errorf("after its end: %v", got)
		}
	})
}

// TestSlowClock has a source have the same token for longer than it lives, by a clock that is
// never corrected: its life is over all the same.
func TestSlowClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		begun := time.Now()
		s.say(claims{"iat": begun.Unix(), "exp": begun.Add(time.Hour).Unix()}.token(t), nil)
		r := start(t, refresh.Config{Source: s, Interval: time.Minute, Now: func() time.Time { return time.Now().Add(-24 * time.Hour) }})
		time.Sleep(time.Hour - time.Nanosecond)
		if _, err := r.Token(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Nanosecond)
		if got, err := r.Token(t.Context()); err == nil {
			t.Errorf("after its end: %v", got)
		}
	})
}

// TestSuspendedDuringAttempt has the machine be suspended while the endpoint is asked: what it
// says counts from before that.
func TestSuspendedDuringAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var skew atomic.Int64
		server, e := inProcess()
		server.SetLife(time.Hour)
		server.Stall()
		r := start(t, refresh.Config{Source: e, Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }})
		synctest.Wait()
		skew.Store(int64(50 * time.Minute))
		time.Sleep(time.Second)
		server.Resume()
		synctest.Wait()
		state, _ := r.State()
		if left := state.Expires.Sub(state.Received); left != 10*time.Minute-time.Second {
			t.Errorf("%v are left", left)
		}
		if wait := state.Next.Sub(state.Received); wait < 5*time.Minute || wait > 8*time.Minute {
			t.Errorf("it is renewed after %v", wait)
		}
	})
}

// TestLongLife has tokens that end in a hundred years, and intervals that are as long.
func TestLongLife(t *testing.T) {
	for _, interval := range []time.Duration{0, 1<<63 - 1} {
		synctest.Test(t, func(t *testing.T) {
			s := new(source)
			for years := 90; years < 200; years += 10 {
				s.say(claims{"exp": time.Now().AddDate(years, 0, 0).Unix()}.token(t), nil)
				r := start(t, refresh.Config{Source: s, Interval: interval})
				calls := s.called()
				time.Sleep(24 * time.Hour)
				if n := s.called() - calls; n > 1 {
					t.Errorf("%d calls in a day for %d years", n, years)
				}
				r.Close()
			}
		})
	}
}
