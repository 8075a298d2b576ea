// Package jwt reads what a JWT says of itself, unverified: enough to know a dead token, its
// successor and another session's, never enough to believe anybody.
package jwt

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Claims are what is looked at in a JWT's payload.
type Claims struct {
	Issuer, Subject string // "iss" and "sub"; "" where missing or not a string
	Expiry          Date   // "exp"
	IssuedAt        Date   // "iat"
}

// Succeeds reports whether c is of the same issuer and subject as old. Claims that
// name neither succeed nothing.
func (c Claims) Succeeds(old Claims) bool {
	return c.Issuer != "" && c.Subject != "" && c.Issuer == old.Issuer && c.Subject == old.Subject
}

// Date is an instant, or none where Known is false. Unlike [time.Time] it can be
// compared with ==.
type Date struct {
	seconds     int64 // since the Unix epoch
	nanoseconds int64 // 0 to 999,999,999
	Known       bool
}

// Time returns the instant, and whether it is known.
func (d Date) Time() (time.Time, bool) {
	if !d.Known {
		return time.Time{}, false
	}
	return time.Unix(d.seconds, d.nanoseconds).UTC(), true
}

// Past reports whether the instant is known and not after now.
func (d Date) Past(now time.Time) bool {
	t, ok := d.Time()
	return ok && !now.Before(t)
}

// Peek reads the claims of a JWT in compact form (RFC 7519), also of one behind a
// prefix. A prefix touches the first of the three parts only, and the claims are
// in the second, so what comes before does not matter. It reports false for any
// other text. Where a member stands twice the last one counts, as RFC 7519,
// section 4, allows.
func Peek(text string) (Claims, bool) {
	_, rest, ok1 := strings.Cut(text, ".")
	part, rest, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(rest, ".") {
		return Claims{}, false
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || !utf8.Valid(payload) {
		return Claims{}, false
	}
	// A map, not a struct: names of members are compared exactly.
	var members map[string]json.RawMessage
	if json.Unmarshal(payload, &members) != nil || members == nil {
		return Claims{}, false
	}
	var c Claims
	if json.Unmarshal(members["iss"], &c.Issuer) != nil {
		c.Issuer = ""
	}
	if json.Unmarshal(members["sub"], &c.Subject) != nil {
		c.Subject = ""
	}
	c.Expiry, c.IssuedAt = numericDate(members["exp"]), numericDate(members["iat"])
	return c, true
}

// numericDate reads a JSON number of seconds since the Unix epoch (RFC 7519,
// section 2), which may have a fraction. Anything else, and what lies outside the
// years 1 to 9999, is no date.
func numericDate(raw json.RawMessage) Date {
	const first, last = -62135596800, 253402300799
	if len(raw) == 0 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return Date{}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < first || f > last {
		return Date{}
	}
	seconds := math.Floor(f)
	return Date{int64(seconds), int64((f - seconds) * 1e9), true}
}
