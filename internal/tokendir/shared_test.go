//go:build linux || darwin || freebsd

package tokendir

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ingressauth/ingressauth"
)

const user = 54321

// shared makes a directory for temporary files that is everybody's.
func shared(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a directory away")
	}
	dir, err := os.MkdirTemp("", "tokendir-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	return dir
}

// as runs a script as another user, and returns what it printed.
func as(uid int, script string, args ...string) string {
	cmd := exec.Command("/bin/sh", append([]string{"-c", script}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func token(t *testing.T, text string) ingressauth.Token {
	token, err := ingressauth.NewToken(text, "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestNewFor has a directory that its user can read, and nobody else, also after it was written
// again, whatever the umask.
func TestNewFor(t *testing.T) {
	dir := shared(t)
	defer syscall.Umask(syscall.Umask(0o777))
	d, err := NewFor(user, user)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} {
		if err := d.Write(token(t, text)); err != nil {
			t.Fatal(err)
		}
		if err := d.WriteStatus("status of " + text); err != nil {
			t.Fatal(err)
		}
		if got, want := as(user, `cat "$0" "$1"`, d.TokenPath(), d.StatusPath()), text+"status of "+text; got != want {
			t.Errorf("the user reads %q, want %q", got, want)
		}
		if got := as(user+1, `cat "$0"; ls "$1"`, d.TokenPath(), d.path); strings.Contains(got, text) || strings.Count(got, "denied") != 2 {
			t.Errorf("another reads %q", got)
		}
	}
	for path, mode := range map[string]os.FileMode{d.path: os.ModeDir | 0o700, d.TokenPath(): 0o600, d.StatusPath(): 0o600} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); info.Mode() != mode || st.Uid != user || st.Gid != user {
			t.Errorf("%s: mode %v, of %d:%d", path, info.Mode(), st.Uid, st.Gid)
		}
	}
	if filepath.Dir(d.path) != dir {
		t.Errorf("it is %s", d.path)
	}
	if info, err := os.Stat(d.path); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info, err)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestLinks has nothing of another's written or given away, whatever the user puts in place of
// the files and the directory.
func TestLinks(t *testing.T) {
	dir := shared(t)
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := NewFor(user, user)
	if err != nil {
		t.Fatal(err)
	}
	if out := as(user, `ln -s "$1" "$0/token" && ln -s "$1" "$0/status"`, d.path, victim); out != "" {
		t.Fatal(out)
	}
	if err := d.Write(token(t, "first")); err != nil {
		t.Fatal(err)
	}
	if got := as(user, `cat "$0"`, d.TokenPath()); got != "first" {
		t.Errorf("the user reads %q", got)
	}
	// The directory is the user's own, who may move it: what is written goes where it is.
	if out := as(user, `mv "$0" "$1/moved" && mkdir "$1/trap" && ln -s "$1/trap" "$0"`, d.path, dir); out != "" {
		t.Fatal(out)
	}
	if err := d.Write(token(t, "second")); err != nil {
		t.Error(err)
	}
	if trapped, _ := os.ReadDir(filepath.Join(dir, "trap")); len(trapped) > 0 {
		t.Errorf("written through a link: %v", trapped)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "moved", "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	info, err := os.Stat(victim)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(victim); string(text) != "kept" || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the victim has %q", text)
	}
}

// TestSweepShared has directories of the dead removed, and those of the living and of others stay.
func TestSweepShared(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	dir := shared(t)
	alive, err := NewFor(user, user)
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Remove()
	dead := func() {
		d, err := NewFor(user, user)
		if err == nil {
			err = d.Write(token(t, "first"))
		}
		if err != nil {
			t.Fatal(err)
		}
		d.lock.Close() // as the end of the process would
		d.dir.Close()
		d.parent.Close()
	}
	left := func() int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if err := os.Mkdir(filepath.Join(dir, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	dead()
	Sweep()
	if n := left(); n != 2 {
		t.Errorf("after Sweep there are %d", n)
	}
	dead()
	d, err := NewFor(user, user)
	if err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 3 {
		t.Errorf("after NewFor there are %d", n)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
}

// TestRefusedDir has a directory refused that the user cannot get to, or in which others could
// replace what is the user's.
func TestRefusedDir(t *testing.T) {
	dir := shared(t)
	for _, tt := range []struct {
		mode  os.FileMode
		owner int
		want  string // nothing if it is taken
	}{
		{0o700, 0, "cannot get through"},
		{0o777, 0, "not sticky"},
		{0o755, user + 1, "belongs to user"},
		{0o755, 0, ""},
		{0o700, user, ""},
	} {
		if err := os.Chown(dir, tt.owner, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, tt.mode); err != nil {
			t.Fatal(err)
		}
		d, err := NewFor(user, user)
		if err == nil {
			err = d.Remove()
		}
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("mode %o of %d: %v", tt.mode, tt.owner, err)
		}
		if err != nil && !strings.Contains(err.Error(), "TMPDIR") {
			t.Errorf("what is to be done is not said: %v", err)
		}
	}
}
