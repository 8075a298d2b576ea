package ingressauth

import (
	"os"
	"path/filepath"
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

// shownPath is [tokentext.Shown] for a path.
func shownPath(path string) string {
	if looksMisplaced(path) {
		return tokentext.Hidden
	}
	return tokentext.Quoted(path)
}
