//go:build linux || darwin || freebsd

package access

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMay compares with the rule of POSIX: the first class that fits counts alone.
func TestMay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	owner, group := int(st.Uid), int(st.Gid)
	if owner == 0 { // to whom no mode applies
		if err := os.Chown(path, 4321, 4322); err != nil {
			t.Fatal(err)
		}
		owner, group = 4321, 4322
	}
	users := map[string]User{
		"owner":  {owner, []int{group}},
		"member": {owner + 1, []int{1, group}},
		"other":  {owner + 1, []int{group + 1}},
	}
	for mode, want := range map[os.FileMode]string{
		0o400: "owner", 0o040: "member", 0o004: "other", 0o444: "owner member other", 0o333: "",
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if info, err = os.Stat(path); err != nil {
			t.Fatal(err)
		}
		var got string
		for _, name := range []string{"owner", "member", "other"} {
			if users[name].May(info, Read) {
				got += " " + name
			}
		}
		if got != "" {
			got = got[1:]
		}
		if got != want {
			t.Errorf("%v: %q may read, want %q", mode, got, want)
		}
		if root := (User{}); !root.May(info, Read) {
			t.Errorf("%v: root may not read", mode)
		}
	}
}

func TestReach(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	path := filepath.Join(top, "in", "file")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := User{UID: 4321, Groups: []int{4321}}
	if err := os.Chmod(top, 0o700); err != nil {
		t.Fatal(err)
	}
	if stranger.Reach(path) == nil || (User{}).Reach(path) != nil {
		t.Error("a directory of mode 0700 is open to all, or closed to root")
	}
	in := filepath.Join(top, "in")
	for _, dir := range []string{in, filepath.Join(in, "deeper"), filepath.Join(top, "beside")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		// From beside it, the way is through the one that is closed.
		if reaches := stranger.ReachFrom(dir, path) == nil; reaches != strings.HasPrefix(dir, in) {
			t.Errorf("from %s: %v", dir, reaches)
		}
	}
	if err := os.Chmod(in, 0o700); err != nil {
		t.Fatal(err)
	}
	if stranger.ReachFrom(in, path) == nil || stranger.ReachFrom(filepath.Join(in, "deeper"), path) == nil {
		t.Error("a directory of mode 0700 is open to who starts in it, or below it")
	}
	if err := stranger.Reach("/etc/passwd"); err != nil {
		t.Error(fmt.Errorf("/etc/passwd: %w", err))
	}
}
