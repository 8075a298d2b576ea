package ingressauth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShown(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/a/path", "/a/path"},
		{"/a/päth", "/a/päth"},
		{"/a\x1b[31m", `"/a\x1b[31m"`},
		{"a\nb", `"a\nb"`},
		{"a\"b", `"a\"b"`},
		{"/x/sk-ant-sid01-x", hiddenToken},
		{"sk-ant-cc-e30.e30.x", hiddenToken},
		{"e30.e30.x", hiddenToken},
	} {
		if got := shown(tt.in); got != tt.want {
			t.Errorf("shown(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
	t.Chdir(t.TempDir())
	const long = "along-name-of-a-file"
	if got := shownPath(long); got != hiddenToken {
		t.Errorf("shownPath of what may be a token: %s", got)
	}
	if err := os.WriteFile(long, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		strings.Repeat("0123456789abcdef", 20), "/tmp/" + strings.Repeat("x", 300), "abcd/EFGH+secretsecretsecret==",
		"eyJhbGciOiJkaXIifQ..aXY.Y3Q.dGFn", "MyOpaqueSecretToken",
	} {
		if got := shownPath(path); got != hiddenToken {
			t.Errorf("shownPath of what may be a token: %s", got)
		}
	}
	for _, path := range []string{long, "short", long + ".json", filepath.Join("dir", long), "/An/Absolute/Path/Of/A/File"} {
		if got := quoted(path); shownPath(path) != got {
			t.Errorf("shownPath(%q) = %s", path, shownPath(path))
		}
	}
}
