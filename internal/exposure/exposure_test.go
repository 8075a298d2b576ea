//go:build linux || darwin || freebsd

package exposure

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

const secret = "sk-ant-sid-0123456789"

// stranger is a user that no file here belongs to.
const stranger = 54321

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := write("open", "token = "+secret+"\n", 0o644)
	private := write("private", secret, 0o600)
	other := write("phantom", phantom.New(true)+"\n", 0o644)
	empty := write("empty", " \n", 0o644)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	for top := dir; top != os.TempDir(); top = filepath.Dir(top) { // tests get private ones
		if err := os.Chmod(top, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{open, private, other, empty, link, dir, filepath.Join(dir, "missing"), "/dev/zero"}
	find := func(uid int, texts ...string) (paths []string) {
		for _, f := range Find(Options{Texts: texts, UID: uid, Groups: []int{uid}, Files: files, Confined: true}) {
			if f.Kind != File || strings.Contains(f.String(), secret) {
				t.Errorf("%+v: %s", f, f)
			}
			paths = append(paths, filepath.Base(f.Path))
		}
		return paths
	}
	want := func(got []string, want string) {
		t.Helper()
		if fmt.Sprint(got) != want {
			t.Errorf("found %v, want %s", got, want)
		}
	}
	want(find(os.Geteuid(), "another", secret), "[open private link]")
	want(find(stranger, secret), "[open link]")
	want(find(os.Geteuid()), "[open private link]") // whatever it is, it is a token
	for uid, want := range map[int]int{os.Geteuid(): 2, stranger: 1} {
		found := Find(Options{UID: uid, Groups: []int{uid}, Secrets: []string{open, private}, Confined: true})
		if len(found) != want || found[0].Kind != Secret || !strings.HasSuffix(found[0].String(), "in the file "+open) {
			t.Errorf("secrets for user %d: %v", uid, found)
		}
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	want(find(stranger, secret), "[open link]")
	if err := os.Chmod(dir, 0o766); err != nil { // all but search
		t.Fatal(err)
	}
	want(find(stranger, secret), "[]")
}

// TestString has no token in what is said, wherever it was put.
func TestString(t *testing.T) {
	path := filepath.Join(t.TempDir(), secret)
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	found := Find(Options{Texts: []string{secret}, UID: os.Geteuid(), Files: []string{path}, Confined: true})
	if len(found) != 1 || strings.Contains(fmt.Sprintf("%+v", found), secret) || !strings.Contains(found[0].String(), tokentext.Hidden) {
		t.Errorf("%d findings: %+v", len(found), found)
	}
	look := looker{texts: [][]byte{[]byte("other-token")}}
	for text, want := range map[string]string{"bash": "bash", "a\x1b[2J\n": `"a\x1b[2J\n"`, "an-other-token": tokentext.Hidden, "\xff": `"\xff"`} {
		if got := look.shown(text); got != want {
			t.Errorf("%q is shown as %s", text, got)
		}
	}
}

// TestMemory has it said that root can read everything, unless it is confined.
func TestMemory(t *testing.T) {
	for _, tt := range []struct {
		options Options
		want    bool
	}{{Options{}, true}, {Options{Confined: true}, false}, {Options{UID: stranger}, false}} {
		found := Find(tt.options)
		if got := len(found) == 1 && found[0].Kind == Memory && strings.Contains(found[0].String(), "root"); got != tt.want {
			t.Errorf("%+v: %v", tt.options, found)
		}
	}
}
