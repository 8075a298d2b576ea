package verify_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/verify"
)

// FuzzVerify signs any header and any payload with a good key. What is accepted must be
// so by encoding/json, too: from this issuer, for this service, now.
func FuzzVerify(f *testing.F) {
	s := signers()[verify.EdDSA]
	v := newVerifier(f, config(plainIssuer(f)))
	for _, header := range []string{s.Header(), `{"alg":"EdDSA","kid":"EdDSA","typ":"at+jwt","x":[{}]}`, `{"alg":"none"}`, `{"alg":"EdDSA","kid":"EdDSA","crit":["x"]}`} {
		f.Add(header, plain().JSON())
		f.Add(header, plain().With("aud", []any{"x", audience}).With("exp", float64(now.Unix())+0.5).JSON())
		f.Add(header, plain().With("nbf", now.Unix()).With("act", claims{"sub": "user:1", "act": claims{"sub": "ccr:runner:1"}}).JSON())
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		p, err := v.Verify(context.Background(), s.Sign(header, payload))
		if err != nil {
			if _, ok := err.(*verify.Refusal); !ok {
				t.Errorf("%T is no refusal", err)
			}
			return
		}
		var h, c map[string]any
		if json.Unmarshal([]byte(header), &h) != nil || json.Unmarshal([]byte(payload), &c) != nil {
			t.Fatal("what is not JSON is accepted")
		}
		if h["alg"] != "EdDSA" || h["kid"] != "EdDSA" || h["crit"] != nil || h["jwk"] != nil || h["jku"] != nil || h["x5c"] != nil || h["x5u"] != nil {
			t.Errorf("accepted with the header %q", header)
		}
		aud, isArray := c["aud"].([]any)
		if c["iss"] != issuer || c["aud"] != any(audience) && !(isArray && slices.Contains(aud, any(audience))) {
			t.Errorf("accepted with the payload %q", payload)
		}
		for name, date := range map[string]struct{ earliest, latest time.Time }{
			"exp": {now.Add(-time.Minute), now.Add(24*time.Hour + time.Minute)},
			"nbf": {time.Unix(0, 0), now.Add(time.Minute)},
			"iat": {time.Unix(0, 0), now.Add(time.Minute)},
		} {
			seconds, ok := c[name].(float64)
			if c[name] == nil && name != "exp" {
				continue
			}
			// As exact as a float64 is.
			if !ok || seconds < float64(date.earliest.Unix()) || seconds > float64(date.latest.Unix()) {
				t.Errorf("accepted with %q in the payload %q", name, payload)
			}
			if got := float64(p.ExpiresAt.UnixMicro()) / 1e6; name == "exp" && strconv.FormatFloat(got, 'f', 3, 64) != strconv.FormatFloat(seconds, 'f', 3, 64) {
				t.Errorf("expires at %v, want %v", got, seconds)
			}
		}
		if string(p.Claims()) != payload {
			t.Errorf("claims %q, want %q", p.Claims(), payload)
		}
		if sub, _ := c["sub"].(string); sub != p.Subject {
			t.Errorf("subject %q, want %q", p.Subject, sub)
		}
	})
}
