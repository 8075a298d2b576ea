package ingressauth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth/internal/tokentext"
)

func TestShownPath(t *testing.T) {
	t.Chdir(t.TempDir())
	const long = "along-name-of-a-file"
	if got := shownPath(long); got != tokentext.Hidden {
		t.Errorf("shownPath of what may be a token: %s", got)
	}
	if err := os.WriteFile(long, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		strings.Repeat("0123456789abcdef", 20), "/tmp/" + strings.Repeat("x", 300), "abcd/EFGH+secretsecretsecret==",
		"eyJhbGciOiJkaXIifQ..aXY.Y3Q.dGFn", "MyOpaqueSecretToken",
	} {
		if got := shownPath(path); got != tokentext.Hidden {
			t.Errorf("shownPath of what may be a token: %s", got)
		}
	}
	for _, path := range []string{long, "short", long + ".json", filepath.Join("dir", long), "/An/Absolute/Path/Of/A/File"} {
		if got := tokentext.Quoted(path); shownPath(path) != got {
			t.Errorf("shownPath(%q) = %s", path, shownPath(path))
		}
	}
}
