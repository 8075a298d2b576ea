package refresh_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

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
			time.Sleep(time.Minute)
			if got, err := r.Renew(t.Context(), first); got != second || err != nil {
				t.Error(got, err)
			}
			if n := s.called(); n != 3 || !s.toldOf()[1].IsZero() || s.toldOf()[2] != first {
				t.Errorf("%d calls, told of %v", n, s.toldOf())
			}
		})
	}
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

// TestBrokenChain has the endpoint take the last link of a chain no more.
func TestBrokenChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, e := inProcess()
		e.Subject, e.Chain = ingressauth.Static(newToken(t, "session")), true
		e.Parameters = url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"}}
		transport := &refusing{RoundTripper: server}
		e.Transport = transport
		r := start(t, refresh.Config{Source: e, Interval: time.Minute})
		time.Sleep(time.Hour)
		synctest.Wait()
		transport.refuse.Store(new("issued-"))
		time.Sleep(time.Hour)
		synctest.Wait()
		state, _ := r.State()
		if state.Err != nil || state.Generation < 100 {
			t.Errorf("%+v", state)
		}
		// Each is of its own type.
		for _, request := range server.Requests() {
			want := "urn:ietf:params:oauth:token-type:access_token"
			if request.Form.Get("subject_token") == "session" {
				want = "urn:ietf:params:oauth:token-type:id_token"
			}
			if got := request.Form.Get("subject_token_type"); got != want {
				t.Fatalf("%s is said to be %s", request.Form.Get("subject_token"), got)
			}
		}
	})
}

// refusing refuses to exchange tokens that begin so.
type refusing struct {
	http.RoundTripper
	refuse atomic.Pointer[string]
}

func (r *refusing) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := request.GetBody()
	if err != nil {
		return nil, err
	}
	text := make([]byte, 1<<10)
	n, _ := body.Read(text)
	if refuse := r.refuse.Load(); refuse != nil && strings.Contains(string(text[:n]), "subject_token="+*refuse) {
		w := httptest.NewRecorder()
		w.WriteHeader(http.StatusBadRequest)
		w.WriteString(`{"error":"invalid_grant"}`)
		return w.Result(), nil
	}
	return r.RoundTripper.RoundTrip(request)
}

// TestChainStays has an endpoint issue a token of another session: that is no link.
func TestChainStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, e := inProcess()
		e.Subject, e.Chain = ingressauth.Static(newToken(t, "session")), true
		server.SetText(func(n int) string {
			subject := "s"
			if n == 3 {
				subject = "other"
			}
			return claims{"iss": "i", "sub": subject, "jti": n}.token(t).Reveal()
		})
		for n := 1; n <= 5; n++ {
			_, err := e.Token(t.Context())
			if n == 3 {
				wantError(t, err, "a token of another session")
			} else if err != nil {
				t.Error(err)
			}
		}
		requests := server.Requests()
		if got := server.Generation(requests[3].Form.Get("subject_token")); got != 2 {
			t.Errorf("the fourth is for generation %d", got)
		}
	})
}

// TestSubjectIsTold has the endpoint refuse the subject, whose source has another one.
func TestSubjectIsTold(t *testing.T) {
	for _, has := range []bool{true, false} {
		server, e := inProcess()
		dead, alive := newToken(t, "dead"), newToken(t, "alive")
		s := new(source)
		s.set(func(_ context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
			if refused == dead && has {
				return alive, nil
			}
			return dead, nil
		})
		transport := &refusing{RoundTripper: server}
		transport.refuse.Store(new("dead"))
		e.Subject, e.Transport = s, transport
		_, err := e.Token(t.Context())
		if has && err != nil {
			t.Error(err)
		} else if !has {
			wantError(t, err, "invalid_grant")
		}
		if !slices.Equal(s.toldOf(), []ingressauth.Token{{}, dead}) {
			t.Errorf("the source was told of %v", s.toldOf())
		}
	}
}

// TestNoHTTP has a server speak something else, in which there is a token.
func TestNoHTTP(t *testing.T) {
	const secret = "made-up-token-of-1"
	for name, answer := range map[string]string{
		"not HTTP":     `{"access_token":"` + secret + `"}` + "\r\n\r\n",
		"a bad target": "HTTP/1.1 302 Found\r\nLocation: https://h/%zz?access_token=" + secret + "\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				conn.Write([]byte(answer))
			}))
			defer server.Close()
			_, err := (&refresh.Endpoint{URL: server.URL, Auth: secretAuth()}).Token(t.Context())
			wantError(t, err, "[masked]")
			wantNoSecret(t, err.Error(), secret)
		})
	}
}

// TestPublicClientRevokes has a client say who it is, which has nothing to prove that.
func TestPublicClientRevokes(t *testing.T) {
	var form url.Values
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form = r.PostForm
	}))
	defer server.Close()
	e := &refresh.Endpoint{URL: server.URL, RevocationURL: server.URL, Subject: ingressauth.Static(newToken(t, "s")), Parameters: url.Values{"client_id": {"public"}, "scope": {"x"}}}
	if err := e.Revoke(t.Context(), newToken(t, "dead")); err != nil {
		t.Fatal(err)
	}
	if want := "client_id=public&token=dead&token_type_hint=access_token"; form.Encode() != want {
		t.Errorf("sent %s, want %s", form.Encode(), want)
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

// TestSlowClock has a source have the same token for longer than it lives, by a clock that is
// never corrected: its life is over all the same.
func TestSlowClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		begun := time.Now()
		s.say(claims{"iat": begun.Unix(), "exp": begun.Add(time.Hour).Unix()}.token(t), nil)
		r := start(t, refresh.Config{Source: s, Interval: time.Minute, Now: func() time.Time { return time.Now().Add(-24 * time.Hour) }})
		time.Sleep(time.Hour - 1)
		if _, err := r.Token(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(1)
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
