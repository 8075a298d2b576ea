//go:build linux || darwin || freebsd

package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

// shell returns a command that runs a script, with everything that needs.
func shell(script string, args ...string) *refresh.Command {
	return &refresh.Command{Args: append([]string{"sh", "-c", script, "sh"}, args...)}
}

// text returns all that was logged.
func (l *logged) text() string { return strings.Join(l.take(""), "\n") }

func TestCommand(t *testing.T) {
	const secret = "made-up-token-of-a-test"
	for _, tt := range []struct {
		name    string
		command *refresh.Command
		want    string
		error   string
		log     string // a part of what is logged, in the end
	}{
		{"a token", shell("echo " + secret), secret, "", ""},
		{"no line break", shell("printf " + secret), secret, "", ""},
		{"white space as in a file", shell(`printf '\n\t ` + secret + ` \r\n\n'`), secret, "", ""},
		{"arguments as they are", shell(`printf '%s' "$#-$1-$2-$3"`, "two words", "", "$HOME"), "3-two words--$HOME", "", ""},
		{"no input", shell("cat; echo " + secret), secret, "", ""},
		{"what is said is logged", shell("echo hello >&2; echo " + secret), secret, "", "DEBUG the token command says on standard error text=hello"},
		{"a daemon that keeps the pipe", shell("sleep 9 & echo " + secret), secret, "", ""},
		{"a daemon that keeps the pipe, and little time", &refresh.Command{Args: []string{"sh", "-c", "sleep 9 & echo " + secret}, Timeout: 600 * time.Millisecond}, secret, "", ""},
		{"a long line", shell("head -c 9000 /dev/zero | tr '\\0' x >&2; echo ' is too long' >&2; exit 1"), "", "exit status 1", "text=... is too long"},
		{"a long word", shell("head -c 9000 /dev/zero | tr '\\0' x >&2; exit 1"), "", "exit status 1", "text=(a long word)"},
		{"nothing", shell("true"), "", "run token command: no session token: it printed nothing", ""},
		{"white space", shell("echo; echo"), "", "no session token: it printed nothing", ""},
		{"failure", shell("echo " + secret + "; exit 3"), "", "run token command: exit status 3", ""},
		{"failure that says why", shell("echo no such account >&2; exit 1"), "", "exit status 1: no such account", "DEBUG the token command says on standard error text=no such account"},
		{"failure that says much", shell("echo first >&2; echo made-up-token-of-nobody-1 last >&2; exit 1"), "", "run token command: exit status 1: [masked] last", "WARN the token command says on standard error text=first\n[masked] last"},
		{"a signal", shell("kill -TERM $$"), "", "signal: terminated", ""},
		{"more than a token", shell("head -c 70000 /dev/zero | tr '\\0' x"), "", "its output is no token: it holds more than 64 KiB", ""},
		{"without an end", shell("yes " + secret), "", "its output is no token: it holds more than 64 KiB", ""},
		{"not UTF-8", shell(`printf '\377'`), "", "its output is no token: it holds bytes that are not UTF-8", ""},
		{"two lines", shell("echo " + secret + "; echo " + secret), "", "the token holds a control character (a line break, perhaps)", ""},
		{"too late", &refresh.Command{Args: []string{"sleep", "60"}, Timeout: 50 * time.Millisecond}, "", "run token command: it did not end within 50ms", ""},
		{"too late, with a child, and deaf", &refresh.Command{Args: []string{"sh", "-c", "trap '' TERM; sleep 60 & sleep 60"}, Timeout: 50 * time.Millisecond}, "", "it did not end within 50ms", ""},
		{"not there", &refresh.Command{Args: []string{secret}}, "", "run token command: executable file not found in $PATH", ""},
		{"not there, by path", &refresh.Command{Args: []string{"/nowhere/" + secret}}, "", "run token command: no such file or directory", ""},
		{"not executable", &refresh.Command{Args: []string{"/etc/passwd"}}, "", "run token command: permission denied", ""},
		{"no program", &refresh.Command{}, "", "a Command without Args", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.name == "not executable" && os.Geteuid() == 0 && runtime.GOOS != "linux" {
				t.Skip("root can execute anything")
			}
			log := &logged{}
			tt.command.Log = slog.New(log)
			var got ingressauth.Token
			var err error
			for range 5 {
				begun := time.Now()
				got, err = tt.command.Token(t.Context())
				if d := time.Since(begun); d > 7*time.Second {
					t.Errorf("it took %v", d)
				}
				// Who is held up for all the time that there is tries again.
				if tt.error != "" || err == nil || !strings.Contains(err.Error(), "it did not end within") {
					break
				}
			}
			if tt.error != "" {
				wantError(t, err, tt.error)
				wantNoSecret(t, err.Error(), secret)
				if strings.Contains(tt.error, "no session token") != errors.Is(err, ingressauth.ErrNoToken) {
					t.Errorf("%v is of the class ErrNoToken: %v", err, errors.Is(err, ingressauth.ErrNoToken))
				}
			} else if err != nil || got.Reveal() != tt.want {
				t.Errorf("%q %v, want %q", got.Reveal(), err, tt.want)
			}
			text := log.text()
			if !strings.Contains(text, tt.log) || tt.log == "" && text != "" {
				t.Errorf("logged: %q", text)
			}
		})
	}
}

// TestCommandEnvironment has the command inherit what is on the list.
func TestCommandEnvironment(t *testing.T) {
	t.Setenv("CLAUDE_CODE_SESSION_ACCESS_TOKEN", "made-up")
	t.Setenv("AWS_SECRET", "s")
	t.Setenv("TZ", "UTC")
	environ := func(inherit []string) []string {
		t.Helper()
		c := &refresh.Command{Args: []string{"sh", "-c", "env | sed 's/=.*//' | tr '\\n' ' '"}, Inherit: inherit}
		got, err := c.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names := slices.DeleteFunc(strings.Fields(got.Reveal()), func(name string) bool { return name == "PWD" || name == "SHLVL" || name == "_" }) // the shell's
		slices.Sort(names)
		return names
	}
	for _, name := range environ(nil) {
		if !slices.Contains([]string{"PATH", "HOME", "USER", "TMPDIR", "LANG", "LC_ALL", "TZ"}, name) {
			t.Errorf("it has %s", name)
		}
	}
	if got := environ(nil); !slices.Contains(got, "PATH") || !slices.Contains(got, "TZ") {
		t.Errorf("it has %v", got)
	}
	want := append(environ(nil), "AWS_SECRET")
	slices.Sort(want)
	if got := environ([]string{"PATH", "AWS_SECRET", "NOT_SET"}); !slices.Equal(got, want) {
		t.Errorf("it has %v, want %v", got, want)
	}
}

// TestCommandStderr has a command say more than is kept, and what is not to be shown.
func TestCommandStderr(t *testing.T) {
	const secret = "short-secret"
	log := &logged{}
	c := shell(`for i in $(seq 2000); do echo line $i >&2; done; echo "token is: ` + secret + `, or sk-ant-cc-x.y, or eyJhbGciOiJ.x" >&2; echo ` + secret)
	c.Log = slog.New(log)
	if _, err := c.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := log.text()
	wantNoSecret(t, text, secret, "sk-ant", "eyJ", "line 1\n")
	if len(text) > 5<<10 || !strings.Contains(text, "text=line ") || !strings.Contains(text, "line 2000\ntoken is: [masked], or [masked], or [masked]") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// TestCommandCanceled has nothing be left of a command that is given up.
func TestCommandCanceled(t *testing.T) {
	dir := t.TempDir()
	c := shell("sleep 100 & echo $! $$ >" + filepath.Join(dir, "pids.new") + "; mv " + filepath.Join(dir, "pids.new") + " " + filepath.Join(dir, "pids") + "; wait")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := c.Token(ctx)
		ended <- err
	}()
	var pids []byte
	for deadline := time.Now().Add(20 * time.Second); len(pids) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not start")
		}
		pids, _ = os.ReadFile(filepath.Join(dir, "pids"))
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, field := range strings.Fields(string(pids)) {
		pid, _ := strconv.Atoi(field)
		for deadline := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) == nil && !isZombie(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d is left", pid)
			}
		}
	}
}

// TestCommandLeaves has nothing be left of a command that fails, and what one leaves that does
// not fail.
func TestCommandLeaves(t *testing.T) {
	for _, script := range []string{"sleep 7 >/dev/null 2>&1 & echo $!; exit 0", "sleep 7 & echo $!; exit 0", "sleep 7 >/dev/null 2>&1 & echo $!; exit 1"} {
		c := shell(script)
		var out strings.Builder
		c.Run = func(cmd *exec.Cmd) error {
			cmd.Stdout = io.MultiWriter(cmd.Stdout, &out)
			return cmd.Run()
		}
		c.Token(t.Context())
		pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
		if err != nil {
			t.Fatal(err)
		}
		left := func() bool { return syscall.Kill(pid, 0) == nil && !isZombie(pid) }
		if strings.HasSuffix(script, "exit 0") {
			if !left() {
				t.Error("it is killed")
			}
			syscall.Kill(pid, syscall.SIGKILL)
			continue
		}
		for deadline := time.Now().Add(5 * time.Second); left(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it is left")
			}
		}
	}
}

// isZombie reports whether nobody has waited for a process that has ended: an orphan's new
// parent may take its time.
func isZombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

// TestCommandRun has the caller start the command.
func TestCommandRun(t *testing.T) {
	c := shell("echo made-up")
	ran := 0
	c.Run = func(cmd *exec.Cmd) error {
		ran++
		return cmd.Run()
	}
	if got, err := c.Renew(t.Context(), newToken(t, "other")); err != nil || got.Reveal() != "made-up" || ran != 1 {
		t.Error(got, err, ran)
	}
	if _, err := c.Renew(t.Context(), newToken(t, "made-up")); !errors.Is(err, ingressauth.ErrNoToken) {
		t.Error(err)
	}
}

// TestCommandUnkillable has a command not end when it is killed, and its caller not wait for that.
func TestCommandUnkillable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan struct{})
		c := &refresh.Command{Args: []string{"x"}, Timeout: 3 * time.Second, Run: func(*exec.Cmd) error {
			<-ends
			return errors.New("at last")
		}}
		begun := time.Now()
		_, err := c.Token(t.Context())
		wantError(t, err, "run token command: it did not end within 3s, nor 5s later, when it was to be killed")
		if d := time.Since(begun); d != 8*time.Second {
			t.Error(d)
		}
		close(ends)
		_, err = c.Token(t.Context())
		wantError(t, err, "run token command: at last")
	})
}

// TestCommandOrganization has a session key act for the organisation in the variable.
func TestCommandOrganization(t *testing.T) {
	t.Setenv("CLAUDE_CODE_ORGANIZATION_UUID", "org-1")
	got, err := shell("echo sk-ant-sid01-made-up").Token(t.Context())
	if err != nil || got.Organization() != "org-1" {
		t.Errorf("%v for %q, %v", got, got.Organization(), err)
	}
}

// TestDescriptors counts them around all that was started.
func TestDescriptors(t *testing.T) {
	count := func() int {
		names, err := os.ReadDir("/dev/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(names)
	}
	warm := func() {
		c := shell("echo made-up; exit 0")
		c.Token(t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		shell("sleep 60").Token(ctx)
	}
	warm()
	before := count()
	for range 20 {
		warm()
	}
	for deadline := time.Now().Add(10 * time.Second); count() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", count(), before)
		}
	}
}
