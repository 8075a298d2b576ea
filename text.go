package ingressauth

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// parseDescriptor reads a descriptor's number as rule R4 says: white space, a
// sign, the longest run of decimal digits; the rest is ignored. A number that is
// too large for an int is [math.MaxInt], which no descriptor has. It reports false
// where there is no digit.
func parseDescriptor(s string) (int, bool) {
	s = strings.TrimLeftFunc(s, tokentext.IsSpace)
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
	switch strings.ToLower(tokentext.TrimSpace(s)) {
	case "1", "true", "yes", "on":
		return true
	}
	return false
}

const hiddenToken = tokentext.Hidden

// shown returns s for a message, hidden if it may be a token.
func shown(s string) string {
	if tokentext.Looks(s) {
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
	if tokentext.Looks(path) {
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
