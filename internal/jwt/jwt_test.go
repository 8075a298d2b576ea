package jwt_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/internal/jwt"
)

func FuzzPeek(f *testing.F) {
	for _, s := range []string{"a.e30.b", "sk-ant-cc-a.eyJleHAiOjF9.b", "a.b", "a..b", "a.bnVsbA.b", "a.eyJleHAiOjFlOTk5OTk5fQ.b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := jwt.Peek(s)
		if ok && strings.Count(s, ".") != 2 {
			t.Errorf("Peek(%q) takes a text without three parts for a JWT", s)
		}
		if !ok && c != (jwt.Claims{}) {
			t.Errorf("Peek(%q) = %+v of no JWT", s, c)
		}
		if named := c.Issuer != "" && c.Subject != ""; c.Succeeds(c) != named {
			t.Errorf("Peek(%q) = %+v, which succeeds itself: %v", s, c, !named)
		}
		at, known := c.Expiry.Time()
		if !known {
			return
		}
		if _, err := json.Marshal(at); err != nil {
			t.Errorf("Peek(%q): expiry %v, which has no form: %v", s, at, err)
		}
		if !c.Expiry.Past(at) || c.Expiry.Past(at.Add(-time.Nanosecond)) {
			t.Errorf("Peek(%q): expiry %v does not end there", s, at)
		}
	})
}
