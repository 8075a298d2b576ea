package ingressauth

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// claims are what this package looks at in a JWT's payload, unverified: enough to
// know a dead token and its successor, never enough to believe anybody.
type claims struct {
	issuer, subject string // "iss" and "sub"; "" where missing or not a string
	expiry          expiry // "exp"
}

// succeeds reports whether c is of the same issuer and subject as old. Claims that
// name neither succeed nothing.
func (c claims) succeeds(old claims) bool {
	return c.issuer != "" && c.subject != "" && c.issuer == old.issuer && c.subject == old.subject
}

// expiry is an instant, or none where known is false. Unlike [time.Time] it can be
// compared with ==.
type expiry struct {
	seconds     int64 // since the Unix epoch
	nanoseconds int64 // 0 to 999,999,999
	known       bool
}

func (e expiry) time() (time.Time, bool) {
	if !e.known {
		return time.Time{}, false
	}
	return time.Unix(e.seconds, e.nanoseconds).UTC(), true
}

// past reports whether the instant is known and not after now.
func (e expiry) past(now time.Time) bool {
	t, ok := e.time()
	return ok && !now.Before(t)
}

// peek reads the claims of a JWT in compact form (RFC 7519), also of one behind a
// prefix. A prefix touches the first of the three parts only, and the claims are
// in the second, so what comes before does not matter. It reports false for any
// other text. Where a member stands twice the last one counts, as RFC 7519,
// section 4, allows.
func peek(text string) (claims, bool) {
	_, rest, ok1 := strings.Cut(text, ".")
	part, rest, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(rest, ".") {
		return claims{}, false
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || !utf8.Valid(payload) {
		return claims{}, false
	}
	// A map, not a struct: names of members are compared exactly.
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) != nil || members == nil {
		return claims{}, false
	}
	var c claims
	if json.Unmarshal(members["iss"], &c.issuer) != nil {
		c.issuer = ""
	}
	if json.Unmarshal(members["sub"], &c.subject) != nil {
		c.subject = ""
	}
	c.expiry = numericDate(members["exp"])
	return c, true
}

func peekExpiry(text string) expiry {
	c, _ := peek(text)
	return c.expiry
}

// numericDate reads a JSON number of seconds since the Unix epoch (RFC 7519,
// section 2), which may have a fraction. Anything else, and what lies outside the
// years 1 to 9999, is no date.
func numericDate(raw json.RawMessage) expiry {
	const first, last = -62135596800, 253402300799
	if len(raw) == 0 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return expiry{}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < first || f > last {
		return expiry{}
	}
	seconds := math.Floor(f)
	return expiry{int64(seconds), int64((f - seconds) * 1e9), true}
}
