package ingressauth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unique"

	"github.com/ingressauth/ingressauth/internal/jwt"
)

// Scheme says how a token travels in an HTTP request.
type Scheme string

// The schemes. The zero Token has none, the empty string.
const (
	// SchemeBearer is "Authorization: Bearer TOKEN" (RFC 6750, section 2.1).
	SchemeBearer Scheme = "bearer"
	// SchemeSessionKey is "Cookie: sessionKey=TOKEN" (RFC 6265), with
	// "X-Organization-Uuid" where an organisation is known.
	SchemeSessionKey Scheme = "session-key"
)

const (
	// sessionKeyPrefix is what a session key begins with (rule H2).
	sessionKeyPrefix = "sk-ant-sid"

	bearerIntro     = "Bearer "
	sessionKeyIntro = cookieName + "="
)

// Token is a session token with the organisation that it acts for. It is a small
// value: copy it, compare it with ==, use it as a map key. The zero Token is no
// token.
//
// Its text is shown by [Token.Reveal] alone, and sent by [Token.SetHeader] and what
// does the same, [Transport] and [RPCCredentials], alone.
// Packages fmt, log/slog and encoding/... show the scheme and the fingerprint of a
// Token, and at most that of one in a field of another value. Debuggers, and
// packages that walk memory by reflection, can see everything.
type Token struct {
	// fmt prints unexported fields without asking their methods. It follows no
	// pointer below the top, but for a verb that does not fit: there it follows
	// one to a struct, a map, a slice or an array. So this is a pointer to an
	// interface, of which it prints the address, always.
	h unique.Handle[hidden]
}

// hidden holds a tokenData.
type hidden any

// tokenData is what a Token stands for. Everything but value and organization is
// derived from value, and kept here so that no use of a token computes it again.
type tokenData struct {
	value        string // of the header field or cookie pair: "Bearer TOKEN" or "sessionKey=TOKEN"
	organization string // "" but for a session key
	scheme       Scheme
	fingerprint  [4]byte
	expiry       jwt.Date
}

// NewToken returns the token with this text. The organisation is the one that a
// session key acts for, or "" where none is known; any other token names its own,
// and organization is dropped.
//
// Empty text is [ErrNoToken]. Text of more than 64 KiB, or that its header cannot
// carry, is an error that does not show it: a session key is made of cookie-octets
// (RFC 6265, section 4.1.1); any other token has no control character but TAB, like
// the organisation (RFC 9110, section 5.5).
func NewToken(text, organization string) (Token, error) {
	if err := checkText(text); err != nil {
		return Token{}, err
	}
	d := tokenData{scheme: schemeOf(text), expiry: expiryOf(text)}
	switch d.scheme {
	case SchemeSessionKey:
		if !isFieldValue(organization) {
			return Token{}, errors.New("the organisation holds a control character, which no header can carry")
		}
		d.value, d.organization = sessionKeyIntro+text, organization
	default:
		d.value = bearerIntro + text
	}
	sum := sha256.Sum256([]byte(text))
	copy(d.fingerprint[:], sum[:])
	return Token{unique.Make(hidden(d))}, nil
}

// checkText says why text cannot be a token, without showing it.
func checkText(text string) error {
	switch {
	case text == "":
		return ErrNoToken
	case len(text) > maxToken:
		return fmt.Errorf("the token is longer than %d KiB", maxToken>>10)
	case schemeOf(text) == SchemeSessionKey:
		if !isCookieValue(text) {
			return errors.New("the session key holds a character that no cookie can carry (white space, a control or non-ASCII character, or one of \" , ; \\)")
		}
	case !isFieldValue(text):
		return errors.New("the token holds a control character (a line break, perhaps), which no header can carry")
	}
	return nil
}

func expiryOf(text string) jwt.Date {
	c, _ := jwt.Peek(text)
	return c.Expiry
}

func schemeOf(text string) Scheme {
	if strings.HasPrefix(text, sessionKeyPrefix) {
		return SchemeSessionKey
	}
	return SchemeBearer
}

// data is safe on the zero Token, where Handle.Value would panic.
func (t Token) data() tokenData {
	if t.IsZero() {
		return tokenData{}
	}
	return t.h.Value().(tokenData)
}

// IsZero reports whether t is the zero Token, which is no token. [encoding/json]
// asks it for omitzero.
func (t Token) IsZero() bool { return t == Token{} }

// Reveal returns the token's text. It is the one way to it, so that a search for
// this name finds every place that a token leaves from.
func (t Token) Reveal() string {
	d := t.data()
	switch d.scheme {
	case SchemeSessionKey:
		return d.value[len(sessionKeyIntro):]
	case SchemeBearer:
		return d.value[len(bearerIntro):]
	}
	return ""
}

// Scheme says how the token travels.
func (t Token) Scheme() Scheme { return t.data().scheme }

// Organization is the organisation that a session key acts for, or "".
func (t Token) Organization() string { return t.data().organization }

// Fingerprint is the first 8 hex digits, in lower case, of the SHA-256 of the
// token's text: enough to tell tokens apart in a log, useless to a thief. It is ""
// for the zero Token.
func (t Token) Fingerprint() string {
	if t.IsZero() {
		return ""
	}
	d := t.data()
	return hex.EncodeToString(d.fingerprint[:])
}

// Expiry is the time that the token itself names: "exp" in the payload of a JWT
// (RFC 7519, section 4.1.4), also of one behind a prefix such as "sk-ant-cc-". It
// is not verified. It reports false where the token names none.
func (t Token) Expiry() (time.Time, bool) { return t.data().expiry.Time() }

// String is the scheme and the fingerprint, as in "bearer:1a2b3c4d", or "none".
func (t Token) String() string {
	if t.IsZero() {
		return "none"
	}
	return string(t.Scheme()) + ":" + t.Fingerprint()
}

// GoString is String in the dress of a Go expression.
func (t Token) GoString() string { return "ingressauth.Token(" + t.String() + ")" }

// Format prints String for every verb, and GoString for %#v.
func (t Token) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		io.WriteString(f, t.GoString())
		return
	}
	// Width and alignment are kept: people print tables.
	width, ok := f.Width()
	pad := ""
	if n := width - len(t.String()); ok && n > 0 {
		pad = strings.Repeat(" ", n)
	}
	if f.Flag('-') {
		io.WriteString(f, t.String()+pad)
	} else {
		io.WriteString(f, pad+t.String())
	}
}

// MarshalText returns String; [encoding.TextMarshaler].
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON returns String as a JSON string; [encoding/json.Marshaler].
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// LogValue returns String; [slog.LogValuer].
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
