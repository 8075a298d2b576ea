// Package phantom makes and knows phantoms: tokens that are worth something to one broker
// alone, and say so.
package phantom

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
)

// Mark is in every phantom, so that nobody takes one for a token that a service issued.
const Mark = "ingressauth-phantom-"

// ErrFound says that a source of tokens has found one.
var ErrFound = errors.New("what was found is a phantom, which is worth something to its own broker alone")

// What phantoms begin with, by how they travel: as a session key (rule H2), or as a bearer
// token.
const (
	sessionKey = "sk-ant-sid-" + Mark
	bearer     = Mark
)

// size is how many random bytes are in one, 256 bits.
const size = 32

// New returns a new one, which travels as a session key or as a bearer token.
func New(isSessionKey bool) string {
	var secret [size]byte
	rand.Read(secret[:])
	intro := bearer
	if isSessionKey {
		intro = sessionKey
	}
	return intro + base64.RawURLEncoding.EncodeToString(secret[:])
}

// Is reports whether a text is a phantom, of any broker, perhaps with white space around it.
func Is(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, bearer) || strings.HasPrefix(text, sessionKey)
}

// Mask returns a text with this in the place of all phantoms.
func Mask(s, mask string) string {
	for {
		at := strings.Index(s, Mark)
		if at < 0 {
			return s
		}
		end := at + len(Mark)
		for end < len(s) && strings.IndexByte("-_", s[end]) >= 0 || end < len(s) && isLetterOrDigit(s[end]) {
			end++
		}
		at = len(strings.TrimSuffix(s[:at], strings.TrimSuffix(sessionKey, Mark)))
		s = s[:at] + mask + s[end:]
	}
}

func isLetterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
