// Package tokentext reads the text of a token, and keeps it out of messages.
package tokentext

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ingressauth/ingressauth/internal/jwt"
)

// Max bounds a token with the white space around it, in bytes.
const Max = 64 << 10

// ErrTooLong says that there is more than Max.
var ErrTooLong = fmt.Errorf("it holds more than %d KiB", Max>>10)

// Decode makes a token's text of the bytes of a descriptor, a file or a program's output.
func Decode(b []byte) (string, error) {
	if len(b) > Max {
		return "", ErrTooLong
	}
	if !utf8.Valid(b) {
		return "", errors.New("it holds bytes that are not UTF-8")
	}
	return TrimSpace(string(b)), nil
}

// TrimSpace trims what ECMAScript trims.
func TrimSpace(s string) string { return strings.TrimFunc(s, IsSpace) }

// IsSpace reports whether ECMAScript trims r. It is not [unicode.IsSpace], which
// has U+0085 and lacks U+FEFF.
func IsSpace(r rune) bool {
	switch r {
	case '\t', '\v', '\f', '\n', '\r', '\u2028', '\u2029', '\uFEFF':
		return true
	}
	return unicode.Is(unicode.Zs, r)
}

// Hidden stands in messages where there may be a token.
const Hidden = "(hidden: it looks like a token)"

// Looks reports whether s, which was meant to be something else, may be a token put in the
// wrong place, and so must not be shown.
func Looks(s string) bool {
	_, isJWT := jwt.Peek(s)
	// All that begins like the header of a JWS or JWE, as well.
	return isJWT || strings.HasPrefix(s, "eyJ") || strings.Contains(s, "sk-ant-")
}

// Shown returns s for a message: hidden if it may be a token, else as [Quoted] has it.
func Shown(s string) string {
	if Looks(s) {
		return Hidden
	}
	return Quoted(s)
}

// Quoted returns s, in quotes if it could harm a terminal, or not be seen, without them.
func Quoted(s string) string {
	if q := strconv.Quote(s); s == "" || q[1:len(q)-1] != s {
		return q
	}
	return s
}

// mask is what Mask puts in a token's place.
const mask = "[masked]"

// shortest is the length of the shortest word that is masked for its form, in bytes.
const shortest = 16

// inWord reports whether tokens and secrets are made of r (RFC 6750, section 2.1), or cookies
// are and punctuation around words is not.
func inWord(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._~+/=%&*!#$^|-", r)
}

// Mask returns s without what may be a token in it, for messages that others have written:
// without these tokens, in a Go string's quotes as well, and without any word that looks like one, or that is 16 characters
// long or longer and has a digit, or letters of both cases in an order that no word has. What
// a person has chosen to look like words cannot be told from words.
func Mask(s string, tokens ...string) string {
	for _, t := range tokens {
		if t == "" {
			continue
		}
		quoted := strconv.Quote(t)
		s = strings.NewReplacer(t, mask, quoted[1:len(quoted)-1], mask).Replace(s)
	}
	var b strings.Builder
	for s != "" {
		end := indexOr(s, func(r rune) bool { return !inWord(r) })
		b.WriteString(masked(s[:end]))
		s = s[end:]
		begin := indexOr(s, inWord)
		b.WriteString(s[:begin])
		s = s[begin:]
	}
	return b.String()
}

// indexOr returns where the first of these runes is in s, or its length.
func indexOr(s string, is func(rune) bool) int {
	if i := strings.IndexFunc(s, is); i >= 0 {
		return i
	}
	return len(s)
}

func masked(word string) string {
	if Looks(word) || strings.Contains(word, "eyJ") {
		return mask
	}
	for part := range strings.SplitSeq(word, "/") { // a path, perhaps, or base64
		if len(part) >= shortest && !isPlain(part) {
			return mask
		}
	}
	return word
}

// isPlain reports whether a word has no digit, and capitals only at the beginning of its parts
// or all over them.
func isPlain(w string) bool {
	if strings.ContainsAny(w, "0123456789") {
		return false
	}
	for part := range strings.FieldsFuncSeq(w, func(r rune) bool { return strings.ContainsRune("._-", r) }) {
		lower := strings.ToLower(part)
		if part != lower && part != strings.ToUpper(part) && part[1:] != lower[1:] {
			return false
		}
	}
	return true
}

// IsVariable reports whether s is a name that every shell takes (POSIX, XBD 8.1).
func IsVariable(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// ParseDescriptor reads a descriptor's number as rule R4 says: white space, a
// sign, the longest run of decimal digits; the rest is ignored. A number that is
// too large for an int is [math.MaxInt], which no descriptor has. It reports false
// where there is no digit.
func ParseDescriptor(s string) (int, bool) {
	s = strings.TrimLeftFunc(s, IsSpace)
	sign := 1
	if s != "" && (s[0] == '+' || s[0] == '-') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if digits == 0 {
		return 0, false
	}
	n, err := strconv.Atoi(s[:digits])
	if err != nil { // ErrRange: there is nothing but digits
		n = math.MaxInt
	}
	return sign * n, true
}
