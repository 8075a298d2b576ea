//go:build linux || darwin || freebsd

package launch_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/launch"
	"golang.org/x/sys/unix"
)

// looker is a child that says what token it finds.
type looker struct {
	*launch.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startLooker(t *testing.T, cmd *launch.Cmd) *looker {
	t.Helper()
	if cmd.Command == nil {
		cmd.Command = self("look")
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l := &looker{cmd, in, bufio.NewReader(out)}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *looker) look(t *testing.T) string {
	t.Helper()
	if _, err := fmt.Fprintln(l.in, "look"); err != nil {
		t.Fatal(err)
	}
	line, err := l.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// want has the child find this token soon: it looks at a file once a millisecond at most.
func (l *looker) want(t *testing.T, want string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	got := l.look(t)
	for ; got != want && time.Now().Before(deadline); got = l.look(t) {
	}
	if got != want {
		t.Errorf("after a rotation the child found %q, want %q", got, want)
	}
}

func TestDeliveries(t *testing.T) {
	const env, fd, file = launch.Environment, launch.Descriptor, launch.File
	for _, deliver := range [][]launch.Delivery{{env}, {fd}, {file}, {env, fd}, {env, file}, {fd, file}, {env, fd, file}, {file, file}} {
		t.Run(fmt.Sprint(deliver), func(t *testing.T) {
			dir := runtimeDir(t)
			child := startLooker(t, &launch.Cmd{Token: token(t, "first"), Deliver: deliver})
			if got := child.look(t); got != "first" {
				t.Errorf("the child found %q", got)
			}
			// A running child that has read a descriptor or the variable learns of it by
			// the message; one that reads the file, by the file.
			if err := child.Rotate(t.Context(), token(t, "second")); err != nil {
				t.Fatal(err)
			}
			child.want(t, "second")
			files, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "*", "*"))
			if want := slices.Contains(deliver, file); want != (len(files) == 1) {
				t.Errorf("there are %d files", len(files))
			}
			for _, path := range files {
				for path, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700, filepath.Dir(filepath.Dir(path)): 0o700} {
					if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
						t.Errorf("%s: %v %v", path, info.Mode(), err)
					}
				}
			}
		})
	}
}

// TestEnd has nothing left of a child, of whatever kind its end was.
func TestEnd(t *testing.T) {
	for name, end := range map[string]func(*looker){
		"by itself": func(l *looker) { l.in.Close() },
		"killed":    func(l *looker) { l.Command.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := runtimeDir(t)
			before := descriptors(t)
			cmd := &launch.Cmd{Command: self("look"), Token: token(t, "first"), Deliver: []launch.Delivery{launch.Descriptor, launch.File}}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			end(&looker{cmd, in, nil})
			err = cmd.Wait()
			if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
				t.Error(err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "*")); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
			if after := descriptors(t); len(after) != len(before) {
				t.Errorf("descriptors before: %v, after: %v", before, after)
			}
			if err := cmd.Rotate(t.Context(), token(t, "second")); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("Rotate after the end: %v", err)
			}
		})
	}
}

func descriptors(t *testing.T) (open []int) {
	for n := range 200 {
		if _, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err == nil {
			open = append(open, n)
		}
	}
	return open
}

// TestSessionKey has a session key's organisation go where its text goes.
func TestSessionKey(t *testing.T) {
	runtimeDir(t)
	key := func(text, organization string) ingressauth.Token {
		k, err := ingressauth.NewToken("sk-ant-sid-"+text, organization)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	cmd := self("look")
	cmd.Env = append(cmd.Env, "CLAUDE_CODE_ORGANIZATION_UUID=older")
	child := startLooker(t, &launch.Cmd{Command: cmd, Token: key("1", "org-1"), Deliver: []launch.Delivery{launch.Environment}})
	if got := child.look(t); got != "sk-ant-sid-1 org-1" {
		t.Errorf("the child found %q", got)
	}
	if err := child.Rotate(t.Context(), key("2", "org-2")); err != nil {
		t.Fatal(err)
	}
	if got := child.look(t); got != "sk-ant-sid-2 org-2" {
		t.Errorf("after a rotation the child found %q", got)
	}
}

// TestEnvironment has a child get the variables that it would have got, in their order,
// less those that shadow what is delivered.
func TestEnvironment(t *testing.T) {
	runtimeDir(t)
	const tokenVariable, number, file = "CLAUDE_CODE_SESSION_ACCESS_TOKEN", "CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR", "CLAUDE_SESSION_INGRESS_TOKEN_FILE"
	given := []string{"Z=1", tokenVariable + "=old", "A=a=b", number + "=7", "AWS_KEY=k", "EMPTY=", file + "=/old", "AWS_SECRET=s",
		"B=two\nlines", "XAWS_KEY=x", "CLAUDE_CODE_REMOTE=true", "PATH=/usr/bin:/bin"}
	for _, test := range []struct {
		deliver launch.Delivery
		scrub   []string
		want    []string
	}{
		{launch.Environment, nil, []string{"Z=1", "A=a=b", "AWS_KEY=k", "EMPTY=", file + "=/old", "AWS_SECRET=s", "B=two\nlines", "XAWS_KEY=x",
			"CLAUDE_CODE_REMOTE=true", "PATH=/usr/bin:/bin", tokenVariable + "=first"}},
		{launch.Descriptor, []string{"AWS_*", "Z"}, []string{"A=a=b", "EMPTY=", file + "=/old", "B=two\nlines", "XAWS_KEY=x",
			"CLAUDE_CODE_REMOTE=true", "PATH=/usr/bin:/bin", number + "=3"}},
		{launch.File, []string{"CLAUDE*", "PATH"}, []string{"Z=1", "A=a=b", "AWS_KEY=k", "EMPTY=", "AWS_SECRET=s", "B=two\nlines", "XAWS_KEY=x", file + "=*"}},
	} {
		t.Run(string(test.deliver), func(t *testing.T) {
			var out bytes.Buffer
			command := exec.Command("/usr/bin/env", "-0")
			command.Env, command.Stdout = given, &out
			cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{test.deliver}, Scrub: test.scrub}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(given, command.Env); diff != "" || strings.Contains(fmt.Sprintf("%+v", command), "first") {
				t.Errorf("the Command was left changed: %s", diff)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			got := strings.Split(strings.TrimSuffix(out.String(), "\x00"), "\x00")
			for i, v := range got {
				if name, value, _ := strings.Cut(v, "="); name == file && value != "/old" {
					got[i] = file + "=*"
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestInherited has the child find what this process has inherited where it was, and
// the token beside it. A shell starts the test binary again with descriptors 3 and 5.
func TestInherited(t *testing.T) {
	if os.Getenv("INGRESSAUTH_TEST_INHERITED") == "" {
		// 5 does not block, which all who share it would notice.
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		path, _ := os.Executable()
		cmd := exec.Command(path, "-test.run=^TestInherited$", "-test.v")
		cmd.Env = append(os.Environ(), "INGRESSAUTH_TEST_INHERITED=1", "GORACE=atexit_sleep_ms=0")
		three, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer three.Close()
		cmd.ExtraFiles = []*os.File{three, nil, w}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, _ := os.ReadFile(three.Name())
		if string(text) != "three" {
			t.Errorf("descriptor 3 was not where it was: %q\n%s", text, out)
		}
		b := make([]byte, 10)
		n, _ := r.Read(b)
		if string(b[:n]) != "five" {
			t.Errorf("descriptor 5 was not where it was: %q", b[:n])
		}
		return
	}
	if err := unix.SetNonblock(5, true); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	command := exec.Command("/bin/sh", "-c", `printf three >&3; printf five >&5; eval "cat <&$CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"; echo " $CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"`)
	command.Stdout, command.Stderr = &out, &out
	cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Descriptor}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "first 4\n" {
		t.Errorf("the child found %q", out.String())
	}
	flags, err := unix.FcntlInt(5, unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("descriptor 5 has other flags than before: %#x %v", flags, err)
	}
}

// TestNumbers has the token under the lowest number that is free.
func TestNumbers(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, test := range []struct {
		extra []*os.File
		want  string
	}{
		{nil, "3"},
		{[]*os.File{null}, "4"},
		{[]*os.File{null, nil, null}, "4"}, // package os/exec would close it
		{slices.Repeat([]*os.File{null}, 6), "9"},
		{slices.Repeat([]*os.File{null}, 7), ""},
	} {
		var out bytes.Buffer
		command := exec.Command("/bin/sh", "-c", `printf %s "$CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"; eval "cat <&$CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"`)
		command.Stdout, command.ExtraFiles = &out, test.extra
		cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Descriptor}}
		err := cmd.Start()
		if test.want == "" {
			if err == nil || !strings.Contains(err.Error(), "3 to 9") {
				t.Errorf("%d files: %v", len(test.extra), err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if out.String() != test.want+"first" {
			t.Errorf("%d files: %q", len(test.extra), out.String())
		}
	}
}

// TestRefusals has what cannot be done said before anything is started.
func TestRefusals(t *testing.T) {
	first := token(t, "first")
	for name, test := range map[string]struct {
		cmd  *launch.Cmd
		dir  func(t *testing.T) string
		want string
	}{
		"no token":         {&launch.Cmd{Deliver: []launch.Delivery{launch.File}}, nil, "no session token"},
		"no delivery":      {&launch.Cmd{Token: first}, nil, "no delivery"},
		"unknown delivery": {&launch.Cmd{Token: first, Deliver: []launch.Delivery{"argv"}}, nil, "unknown delivery"},
		"bad pattern":      {&launch.Cmd{Token: first, Deliver: []launch.Delivery{launch.Environment}, Scrub: []string{"A["}}, nil, "syntax error"},
		"no runtime directory": {&launch.Cmd{Token: first, Deliver: []launch.Delivery{launch.File}},
			func(t *testing.T) string { return filepath.Join(t.TempDir(), "none") }, "no such file"},
		"relative runtime directory": {&launch.Cmd{Token: first, Deliver: []launch.Delivery{launch.File}},
			func(t *testing.T) string { return "run" }, "not an absolute path"},
		"a file for a directory": {&launch.Cmd{Token: first, Deliver: []launch.Delivery{launch.File}},
			func(t *testing.T) string {
				dir := t.TempDir()
				os.WriteFile(filepath.Join(dir, "ingressauth"), nil, 0o600)
				return dir
			}, "link or a file"},
		"a link for a directory": {&launch.Cmd{Token: first, Deliver: []launch.Delivery{launch.File}},
			func(t *testing.T) string {
				dir := t.TempDir()
				os.Symlink(t.TempDir(), filepath.Join(dir, "ingressauth"))
				return dir
			}, "link or a file"},
		"a wide directory": {&launch.Cmd{Token: first, Deliver: []launch.Delivery{launch.File}},
			func(t *testing.T) string {
				dir := t.TempDir()
				os.Mkdir(filepath.Join(dir, "ingressauth"), 0o755)
				os.Chmod(filepath.Join(dir, "ingressauth"), 0o755)
				return dir
			}, "0755"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if test.dir != nil {
				dir = test.dir(t)
			}
			t.Setenv("XDG_RUNTIME_DIR", dir)
			witness := filepath.Join(t.TempDir(), "started")
			test.cmd.Command = exec.Command("/bin/sh", "-c", ": >"+witness)
			err := test.cmd.Start()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start: %v, want %q", err, test.want)
			}
			if _, err := os.Stat(witness); err == nil {
				t.Error("the child was started")
			}
		})
	}
	t.Run("out of order", func(t *testing.T) {
		runtimeDir(t)
		none := launch.Cmd{Token: first, Deliver: []launch.Delivery{launch.File}}
		if _, err := none.StdinPipe(); err == nil {
			t.Error("StdinPipe without a Command succeeded")
		}
		if err := errors.Join(none.Start(), none.Exec()); err == nil {
			t.Error("Start or Exec without a Command succeeded")
		}
		cmd := launch.Cmd{Command: exec.Command("/bin/true"), Token: first, Deliver: []launch.Delivery{launch.File}}
		if err := errors.Join(cmd.Wait(), none.Wait()); err == nil {
			t.Error("Wait before Start succeeded")
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if cmd.Start() == nil || cmd.Exec() == nil {
			t.Error("a second Start, or Exec after it, succeeded")
		}
		if _, err := cmd.StdinPipe(); err == nil {
			t.Error("StdinPipe after Start succeeded")
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if cmd.Wait() == nil {
			t.Error("a second Wait succeeded")
		}
	})
	t.Run("NUL", func(t *testing.T) {
		command := exec.Command("/bin/true")
		command.Env = []string{"A=1\x00x", "B=2"}
		cmd := launch.Cmd{Command: command, Token: first, Deliver: []launch.Delivery{launch.Environment}}
		if err := cmd.Start(); err == nil || !strings.Contains(err.Error(), "NUL") {
			t.Errorf("Start: %v", err)
		}
	})
	t.Run("a pipe", func(t *testing.T) {
		before := descriptors(t)
		cmd := launch.Cmd{Command: exec.Command("/bin/true"), Token: first, Deliver: []launch.Delivery{"argv"}}
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if cmd.Start() == nil {
			t.Error("Start succeeded")
		}
		if after := descriptors(t); len(after) != len(before) {
			t.Errorf("descriptors before: %v, after: %v", before, after)
		}
	})
	t.Run("no command", func(t *testing.T) {
		dir := runtimeDir(t)
		cmd := launch.Cmd{Command: exec.Command("/nonexistent/command"), Token: first, Deliver: []launch.Delivery{launch.Descriptor, launch.File}}
		if err := cmd.Start(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Start: %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "*")); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
	t.Run("another's directory", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("needs root, to give a directory away")
		}
		dir := runtimeDir(t)
		own := filepath.Join(dir, "ingressauth")
		if err := errors.Join(os.Mkdir(own, 0o700), os.Chown(own, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
		cmd := launch.Cmd{Command: exec.Command("/bin/true"), Token: first, Deliver: []launch.Delivery{launch.File}}
		if err := cmd.Start(); err == nil || !strings.Contains(err.Error(), "user 12345") {
			t.Errorf("Start: %v", err)
		}
	})
}

func TestRotateFails(t *testing.T) {
	dir := runtimeDir(t)
	ctx := t.Context()
	second := token(t, "second")
	t.Run("without a channel", func(t *testing.T) {
		command := self("sleep")
		stdin, err := command.StdinPipe() // not the launch.Cmd's
		if err != nil {
			t.Fatal(err)
		}
		cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment, launch.File}}
		if err := cmd.Rotate(ctx, second); err == nil {
			t.Error("Rotate before Start succeeded")
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Rotate(ctx, second); !errors.Is(err, launch.ErrNoChannel) {
			t.Errorf("Rotate: %v", err)
		}
		// The file has it all the same.
		files, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "*", "token"))
		if text, err := os.ReadFile(files[0]); string(text) != "second" {
			t.Errorf("the file has %q %v", text, err)
		}
		if err := cmd.Rotate(ctx, ingressauth.Token{}); !errors.Is(err, ingressauth.ErrNoToken) {
			t.Errorf("Rotate to no token: %v", err)
		}
		if err := cmd.Rotate(ctx, second, launch.Descriptor); err == nil {
			t.Error("Rotate by a delivery that was not made succeeded")
		}
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a child that does not read", func(t *testing.T) {
		command := exec.Command("/bin/sleep", "100")
		cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 10 { // are more than a pipe takes
			ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			err = cmd.Rotate(ctx, token(t, strings.Repeat("long", 15<<10)))
			cancel()
			if err != nil {
				break
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Rotate: %v", err)
		}
		in.Close()
		command.Process.Kill()
		cmd.Wait()
	})
	t.Run("a closed channel", func(t *testing.T) {
		cmd := &launch.Cmd{Command: self("sleep"), Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in.Close()
		if err := cmd.Rotate(ctx, second); !errors.Is(err, launch.ErrNoChannel) {
			t.Errorf("Rotate: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestManyRotations has readers of the file find a whole token, whenever they look, and
// the child the last one.
func TestManyRotations(t *testing.T) {
	dir := runtimeDir(t)
	child := startLooker(t, &launch.Cmd{Token: token(t, "token-0"), Deliver: []launch.Delivery{launch.File, launch.Environment}})
	files, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "*", "token"))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if text, err := os.ReadFile(files[0]); err != nil || !strings.HasPrefix(string(text), "token-") {
				t.Errorf("the file has %q %v", text, err)
				return
			}
		}
	})
	for i := range 500 {
		if err := child.Rotate(t.Context(), token(t, fmt.Sprintf("token-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
	child.want(t, "token-499")
}

// TestOtherChildren has this package wait for no child but its own.
func TestOtherChildren(t *testing.T) {
	runtimeDir(t)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			other := exec.Command("/bin/sh", "-c", "exit 7")
			cmd := &launch.Cmd{Command: exec.Command("/bin/sh", "-c", fmt.Sprintf("exit %d", i)), Token: token(t, "first"), Deliver: []launch.Delivery{launch.File}}
			if err := errors.Join(other.Start(), cmd.Start()); err != nil {
				t.Error(err)
				return
			}
			cmd.Wait()
			other.Wait()
			if got, own := other.ProcessState.ExitCode(), cmd.Command.ProcessState.ExitCode(); got != 7 || own != i {
				t.Errorf("exit codes %d and %d, want 7 and %d", got, own, i)
			}
		})
	}
	all.Wait()
}

// TestSweep has what a killed owner left removed by the next one, and nothing else.
func TestSweep(t *testing.T) {
	dir := runtimeDir(t)
	killed := self("parent")
	out, err := killed.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	alive := startLooker(t, &launch.Cmd{Token: token(t, "alive"), Deliver: []launch.Delivery{launch.File}})
	count := func() int {
		all, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "session-*"))
		return len(all)
	}
	if n := count(); n != 2 {
		t.Fatalf("there are %d directories of the living", n)
	}
	killed.Process.Kill()
	killed.Wait()
	next := startLooker(t, &launch.Cmd{Token: token(t, "next"), Deliver: []launch.Delivery{launch.File}})
	if n := count(); n != 2 {
		t.Errorf("there are %d directories, want those of the two living ones", n)
	}
	for child, want := range map[*looker]string{alive: "alive", next: "next"} {
		if got := child.look(t); got != want {
			t.Errorf("a child found %q, want %q", got, want)
		}
	}
}

// TestExec has the program that takes this process's place find the token, and all else as
// it was. The test binary is started again for that.
func TestExec(t *testing.T) {
	const show = `printf '%s %s ' "$$" "$CLAUDE_CODE_SESSION_ACCESS_TOKEN"; [ -z "$N" ] || { eval "cat <&$N"; cat /proc/self/fd/$N /dev/fd/$N; }; cat; exit 9`
	if by := os.Getenv("INGRESSAUTH_TEST_EXEC"); by != "" {
		cmd := &launch.Cmd{Command: exec.Command("/bin/sh", "-c", show), Token: token(t, "first"), Deliver: []launch.Delivery{launch.Delivery(by)},
			Profile: ingressauth.Profile{DescriptorVariable: "N"}}
		cmd.Command.ExtraFiles, cmd.Command.Dir = []*os.File{os.Stdin}, "/nonexistent" // which do not count
		fmt.Fprintln(os.Stderr, cmd.Exec())
		os.Exit(3)
	}
	for by, want := range map[string]string{"env": "first input", "fd": " firstfirstfirstinput", "file": ""} {
		t.Run(by, func(t *testing.T) {
			path, _ := os.Executable()
			cmd := exec.Command(path, "-test.run=^TestExec$")
			cmd.Env = append(clean(os.Environ()), "INGRESSAUTH_TEST_EXEC="+by)
			cmd.Stdin = strings.NewReader("input")
			var out bytes.Buffer
			cmd.Stdout = &out
			cmd.Run()
			if want == "" {
				if code := cmd.ProcessState.ExitCode(); code != 3 {
					t.Errorf("exit code %d: a file was delivered that nobody takes away", code)
				}
				return
			}
			if code := cmd.ProcessState.ExitCode(); code != 9 {
				t.Errorf("exit code %d", code)
			}
			if want := fmt.Sprintf("%d %s", cmd.Process.Pid, want); out.String() != want {
				t.Errorf("%q, want %q", out.String(), want)
			}
		})
	}
}
