package ingressauth

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// isSpace reports whether ECMAScript trims r. It is not [unicode.IsSpace], which
// has U+0085 and lacks U+FEFF.
func isSpace(r rune) bool {
	switch r {
	case '\t', '\v', '\f', '\n', '\r', '\u2028', '\u2029', '\uFEFF':
		return true
	}
	return unicode.Is(unicode.Zs, r)
}

func trimSpace(s string) string { return strings.TrimFunc(s, isSpace) }

// parseDescriptor reads a descriptor's number as rule R4 says: white space, a
// sign, the longest run of decimal digits; the rest is ignored. A number that is
// too large for an int is [math.MaxInt], which no descriptor has. It reports false
// where there is no digit.
func parseDescriptor(s string) (int, bool) {
	s = strings.TrimLeftFunc(s, isSpace)
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

// isTrue reads the remote variable as rule R7 says.
func isTrue(s string) bool {
	switch strings.ToLower(trimSpace(s)) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}

// looksLikeToken reports whether s, which was meant to be something else, may be a
// token put in the wrong place, and so must not be shown.
func looksLikeToken(s string) bool {
	_, jwt := peek(s)
	// All that begins like the header of a JWS or JWE, as well.
	return jwt || strings.HasPrefix(s, "eyJ") || strings.Contains(s, "sk-ant-")
}

const hiddenToken = "(hidden: it looks like a token)"

// shown returns s for a message, hidden if it may be a token.
func shown(s string) string {
	if looksLikeToken(s) {
		return hiddenToken
	}
	return quoted(s)
}

// quoted returns s, in quotes if it could harm a terminal without them.
func quoted(s string) string {
	if q := strconv.Quote(s); q[1:len(q)-1] != s {
		return q
	}
	return s
}

// looksMisplaced reports whether a path may be a token that was put in its place,
// of whatever form: it is long, no file has it for a name, and few files would.
func looksMisplaced(path string) bool {
	if looksLikeToken(path) {
		return true
	}
	if len(path) < 16 {
		return false
	}
	if _, err := os.Lstat(path); err == nil {
		return false
	}
	for part := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if len(part) > 255 { // no file system takes it
			return true
		}
	}
	plain := strings.ContainsAny(path, "./\\") && !strings.ContainsAny(path, "+=") && path == strings.ToLower(path)
	return !filepath.IsAbs(path) && !plain
}

// shownPath is shown for a path.
func shownPath(path string) string {
	if looksMisplaced(path) {
		return hiddenToken
	}
	return shown(path)
}
