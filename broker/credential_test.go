package broker

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
)

// TestCredentials has requests carry this and that, and looks what the upstream gets.
func TestCredentials(t *testing.T) {
	const org = "b3b2a1a0-0000-4000-8000-000000000000"
	type fields map[string][]string
	bearer, key := "Bearer "+realToken, "sessionKey="+sessionKey
	for _, test := range []struct {
		name   string
		real   string // "" means the bearer token
		org    string
		pass   bool // foreign credentials
		sends  fields
		status int
		reason Reason
		gets   fields // by the upstream, of the three fields
	}{
		{name: "a phantom", sends: fields{"Authorization": {"Bearer PHANTOM"}}, gets: fields{"Authorization": {bearer}}},
		{name: "a phantom, as others write it", sends: fields{"Authorization": {"bearer  PHANTOM "}}, gets: fields{"Authorization": {bearer}}},
		{name: "a phantom like a session key", sends: fields{"Cookie": {"sessionKey=KEY"}}, gets: fields{"Authorization": {bearer}}},
		{name: "a phantom among cookies", sends: fields{"Cookie": {"a=1; sessionKey=KEY; b=2"}}, gets: fields{"Authorization": {bearer}, "Cookie": {"a=1; b=2"}}},
		{name: "a phantom in quotes", sends: fields{"Cookie": {`sessionKey="KEY"`}}, gets: fields{"Authorization": {bearer}}},
		{name: "a phantom, and a real session key", real: sessionKey, org: org, sends: fields{"Authorization": {"Bearer PHANTOM"}, "Cookie": {"a=1"}},
			gets: fields{"Cookie": {"a=1; " + key}, "X-Organization-Uuid": {org}}},
		{name: "the child's organisation is not ours", real: sessionKey, sends: fields{"Authorization": {"Bearer PHANTOM"}, "X-Organization-Uuid": {"other"}},
			gets: fields{"Cookie": {key}}},
		{name: "an organisation beside a bearer token", sends: fields{"Authorization": {"Bearer PHANTOM"}, "X-Organization-Uuid": {"other"}}, gets: fields{"Authorization": {bearer}}},
		{name: "a session key's phantom, and a real session key", real: sessionKey, org: org, sends: fields{"Cookie": {"x=y; sessionKey=KEY"}},
			gets: fields{"Cookie": {"x=y; " + key}, "X-Organization-Uuid": {org}}},
		{name: "the same phantom twice", sends: fields{"Authorization": {"Bearer PHANTOM"}, "Cookie": {"sessionKey=PHANTOM"}}, gets: fields{"Authorization": {bearer}}},
		{name: "Connection lists it", sends: fields{"Authorization": {"Bearer PHANTOM"}, "Connection": {"Authorization"}}, gets: fields{"Authorization": {bearer}}},
		{name: "Connection lists the organisation", real: sessionKey, org: org, sends: fields{"Cookie": {"sessionKey=KEY"}, "Connection": {"x-organization-uuid, cookie"}},
			gets: fields{"Cookie": {key}, "X-Organization-Uuid": {org}}},

		{name: "nothing", status: 401, reason: NoPhantom},
		{name: "an empty token", sends: fields{"Authorization": {"Bearer "}}, status: 401, reason: NoPhantom},
		{name: "an organisation alone", sends: fields{"X-Organization-Uuid": {org}}, status: 401, reason: NoPhantom},
		{name: "other cookies", sends: fields{"Cookie": {"a=PHANTOM"}}, status: 401, reason: NoPhantom},
		{name: "the phantom in Basic", sends: fields{"Authorization": {"Basic PHANTOM"}}, status: 403, reason: ForeignCredential},
		{name: "another broker's phantom", sends: fields{"Authorization": {"Bearer OTHER"}}, status: 401, reason: InvalidPhantom},
		{name: "a phantom that is cut", sends: fields{"Authorization": {"Bearer CUT"}}, status: 401, reason: InvalidPhantom},
		{name: "another broker's phantom as a cookie", sends: fields{"Cookie": {"sessionKey=OTHER"}}, status: 401, reason: InvalidPhantom},
		{name: "another broker's phantom, where others pass", pass: true, sends: fields{"Authorization": {"Bearer OTHER"}}, status: 401, reason: InvalidPhantom},
		{name: "two phantoms", sends: fields{"Authorization": {"Bearer PHANTOM"}, "Cookie": {"sessionKey=OTHER"}}, status: 400, reason: Malformed},
		{name: "two Authorizations", sends: fields{"Authorization": {"Bearer PHANTOM", "Bearer PHANTOM"}}, status: 400, reason: Malformed},
		{name: "a foreign token", sends: fields{"Authorization": {"Bearer mine"}}, status: 403, reason: ForeignCredential},
		{name: "a foreign session key", sends: fields{"Cookie": {"sessionKey=mine"}}, status: 403, reason: ForeignCredential},
		{name: "the real token itself", sends: fields{"Authorization": {bearer}}, status: 403, reason: ForeignCredential},
		{name: "a foreign token in place", pass: true, sends: fields{"Authorization": {"Bearer mine"}, "X-Organization-Uuid": {"its"}},
			gets: fields{"Authorization": {"Bearer mine"}, "X-Organization-Uuid": {"its"}}},
		{name: "a foreign session key in place", pass: true, sends: fields{"Cookie": {"a=1; sessionKey=mine"}}, gets: fields{"Cookie": {"a=1; sessionKey=mine"}}},
		{name: "a foreign session key beside a phantom", pass: true, sends: fields{"Authorization": {"Bearer PHANTOM"}, "Cookie": {"sessionKey=mine"}}, status: 403, reason: ForeignCredential},
		{name: "a foreign session key beside a phantom of the kind", pass: true, sends: fields{"Cookie": {"sessionKey=KEY; sessionKey=mine"}}, status: 403, reason: ForeignCredential},
		{name: "nothing, where others pass", pass: true, status: 401, reason: NoPhantom},
		{name: "an organisation with underscores", sends: fields{"Authorization": {"Bearer PHANTOM"}, "X_Organization_Uuid": {"x"}}, status: 400, reason: Malformed},
		{name: "an organisation with a dot", sends: fields{"Authorization": {"Bearer PHANTOM"}, "X.organization-Uuid": {"x"}}, status: 400, reason: Malformed},
		{name: "a proxy's authorization with an underscore", sends: fields{"Authorization": {"Bearer PHANTOM"}, "Proxy_Authorization": {"x"}}, status: 400, reason: Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := make(chan http.Header, 1)
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) { got <- r.Header.Clone() }, func(c *Config) { c.PassForeign = test.pass })
			if test.real != "" {
				w.token.set(t, test.real, test.org)
			}
			child, err := w.broker.Add(ChildConfig{Scheme: ingressauth.SchemeSessionKey})
			if err != nil {
				t.Fatal(err)
			}
			own := w.child.Phantom().Reveal()
			fill := strings.NewReplacer("PHANTOM", own, "KEY", child.Phantom().Reveal(), "OTHER", phantom.New(false), "CUT", own[:len(own)-1])
			r, _ := http.NewRequest("GET", w.port.URL(), nil)
			for name, values := range test.sends {
				for _, v := range values {
					r.Header[name] = append(r.Header[name], fill.Replace(v))
				}
			}
			response, body := w.do(r)
			want := test.status
			if want == 0 {
				want = 200
			}
			if reason := reasonOf(t, response, body); response.StatusCode != want || reason != test.reason {
				t.Errorf("status %d, reason %q; want %d, %q: %s", response.StatusCode, reason, want, test.reason, body)
			}
			record := w.records.last(t, 1)
			if record.Status != want || record.Reason != test.reason {
				t.Errorf("record %+v", record)
			}
			if test.gets == nil {
				if len(got) > 0 {
					t.Errorf("the upstream got %v", <-got)
				}
				if record.Token != "" {
					t.Errorf("record %+v", record)
				}
				return
			}
			header := <-got
			gets := make(fields)
			for _, name := range []string{"Authorization", "Cookie", "X-Organization-Uuid"} {
				if values := header[name]; values != nil {
					gets[name] = values
				}
			}
			if diff := cmp.Diff(test.gets, gets); diff != "" {
				t.Errorf("what the upstream gets (-want +got):\n%s", diff)
			}
			for _, name := range []string{"Connection", "X-Forwarded-For", "Via"} {
				if header[name] != nil {
					t.Errorf("the upstream got %s", name)
				}
			}
		})
	}
}

// TestPhantomIsNoToken has a source that has found a phantom be one without a token.
func TestPhantomIsNoToken(t *testing.T) {
	w := newWorld(t, echo, nil)
	for _, isKey := range []bool{false, true} {
		w.token.set(t, phantom.New(isKey), "")
		response, body := w.do(w.request("GET", "/", nil))
		if reason := reasonOf(t, response, body); response.StatusCode != 503 || reason != NoToken {
			t.Errorf("%v %s", response.Status, body)
		}
	}
}
