package ingressauth

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ingressauth/ingressauth/internal/tokentext"
)

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
