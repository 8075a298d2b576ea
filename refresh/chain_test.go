package refresh_test

import (
	"context"
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

// subjects is a source whose token a test replaces.
type subjects struct{ token ingressauth.Token }

func (s *subjects) Token(context.Context) (ingressauth.Token, error) { return s.token, nil }

// TestChain has an endpoint renew a token by itself.
func TestChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, e := inProcess()
		server.SetLife(time.Hour)
		subject := &subjects{newToken(t, "session-1")}
		e.Subject, e.Chain = subject, true
		exchanged := func() string {
			t.Helper()
			requests := server.Requests()
			return requests[len(requests)-1].Form.Get("subject_token")
		}
		ask := func(refused ingressauth.Token) ingressauth.Token {
			t.Helper()
			got, err := e.Renew(t.Context(), refused)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		var none ingressauth.Token
		first := ask(none)
		if got := exchanged(); got != "session-1" {
			t.Errorf("the first is for %s", got)
		}
		second := ask(none)
		if got := exchanged(); got != first.Reveal() {
			t.Errorf("the second is for %s", got)
		}
		ask(second)
		if got := exchanged(); got != "session-1" {
			t.Errorf("after a refusal it is for %s", got)
		}
		ask(none)
		subject.token = newToken(t, "session-2")
		ask(none)
		if got := exchanged(); got != "session-2" {
			t.Errorf("with another subject it is for %s", got)
		}
		time.Sleep(time.Hour)
		ask(none)
		if got := exchanged(); got != "session-2" {
			t.Errorf("after the end it is for %s", got)
		}
		// A failure is no link.
		last := ask(none)
		server.Fail(400, "invalid_grant")
		if _, err := e.Token(t.Context()); err == nil {
			t.Error("no error")
		}
		server.Resume()
		ask(none)
		if got := exchanged(); got != last.Reveal() {
			t.Errorf("after a failure it is for %s", got)
		}
		// Without a chain it is the subject always.
		e.Chain = false
		ask(none)
		if got := exchanged(); got != "session-2" {
			t.Errorf("without a chain it is for %s", got)
		}
	})
}
