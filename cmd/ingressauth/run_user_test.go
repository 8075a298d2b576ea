//go:build linux || darwin || freebsd

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

func TestLookupAccount(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip("needs an entry in the user database: ", err)
	}
	byName, err := lookupAccount(me.Username)
	if err != nil {
		t.Fatal(err)
	}
	byNumber, err := lookupAccount(me.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(byName, byNumber, cmp.AllowUnexported(account{})); diff != "" {
		t.Errorf("by name and by number:\n%s", diff)
	}
	if fmt.Sprint(byName.uid, byName.gid) != me.Uid+" "+me.Gid || byName.name != me.Username || byName.home != me.HomeDir || byName.groups[0] != byName.gid {
		t.Errorf("%+v is not %+v", byName, me)
	}
	const unknown = 1999999998
	got, err := lookupAccount(fmt.Sprint(unknown))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&account{uid: unknown, gid: unknown, groups: []int{unknown}}, got, cmp.AllowUnexported(account{})); diff != "" {
		t.Errorf("a number without an entry:\n%s", diff)
	}
	for text, want := range map[string]string{
		"no-such-user": "no user no-such-user:", "": `no user ""`, "-1": "no user", "4294967295": "no user", "4294967296": "no user", "1x": "no user",
		"sk-ant-sid-1": tokentext.Hidden,
	} {
		if a, err := lookupAccount(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sk-ant") {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
}

func TestAccountEnviron(t *testing.T) {
	env := []string{"HOME=/root", "A=1", "USER=root", "HOMES=2", "LOGNAME=root", "USER=twice", "odd"}
	given := strings.Join(env, " ")
	for _, tt := range []struct {
		account account
		want    []string
	}{
		{account{name: "bob", home: "/home/bob"}, []string{"A=1", "HOMES=2", "odd", "HOME=/home/bob", "USER=bob", "LOGNAME=bob"}},
		{account{uid: 5}, []string{"A=1", "HOMES=2", "odd"}},
	} {
		if diff := cmp.Diff(tt.want, tt.account.environ(env)); diff != "" {
			t.Errorf("%+v:\n%s", tt.account, diff)
		}
	}
	if got := strings.Join(env, " "); got != given {
		t.Errorf("the caller's was changed: %s", got)
	}
}

// TestAccountApply has a command really run as another user, in that one's groups alone.
func TestAccountApply(t *testing.T) {
	a := account{uid: 54321, gid: 54322, groups: []int{54322, 54323}}
	cmd := exec.Command("/bin/sh", "-c", "id -u; id -g; id -G")
	cmd.Dir = "/"
	given := &syscall.SysProcAttr{Setpgid: true}
	cmd.SysProcAttr = given
	a.apply(cmd)
	if !cmd.SysProcAttr.Setpgid || given.Credential != nil {
		t.Errorf("caller's %+v, command's %+v", given, cmd.SysProcAttr)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	out, err := cmd.Output()
	if want := "54321\n54322\n54322 54323\n"; err != nil || string(out) != want {
		t.Errorf("it printed %q, want %q: %v", out, want, err)
	}
	(&account{uid: 1, gid: 1}).apply(new(exec.Cmd)) // which has no attributes yet
}
