//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestRunDelivers has every kind of child find the token by every delivery. A descriptor
// is read twice by its path, and once by its number.
func TestRunDelivers(t *testing.T) {
	for _, kind := range []struct {
		program string
		flag    string
		scripts map[string]string // by delivery
	}{
		{"bash", "-c", map[string]string{
			"env":  `printf %s "$CLAUDE_CODE_SESSION_ACCESS_TOKEN"`,
			"fd":   `N=$CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR; a=$(cat /proc/self/fd/$N); b=$(cat /dev/fd/$N); [ "$a" = "$b" ] && cat <&$N`,
			"file": `cat "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"`,
		}},
		{"dash", "-c", map[string]string{
			"env":  `printf %s "$CLAUDE_CODE_SESSION_ACCESS_TOKEN"`,
			"fd":   `N=$CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR; a=$(cat /proc/self/fd/$N); b=$(cat /dev/fd/$N); [ "$a" = "$b" ] && eval "cat <&$N"`,
			"file": `cat "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"`,
		}},
		{"python3", "-c", map[string]string{
			"env": `import os; print(os.environ["CLAUDE_CODE_SESSION_ACCESS_TOKEN"], end="")`,
			"fd": `import os; n = int(os.environ["CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"])
a, b = open(f"/proc/self/fd/{n}").read(), open(f"/dev/fd/{n}").read()
assert a == b; print(os.read(n, 65536).decode(), end="")`,
			"file": `import os; print(open(os.environ["CLAUDE_SESSION_INGRESS_TOKEN_FILE"]).read(), end="")`,
		}},
		{"node", "-e", map[string]string{
			"env": `process.stdout.write(process.env.CLAUDE_CODE_SESSION_ACCESS_TOKEN)`,
			"fd": `const fs = require("fs"), n = process.env.CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR
const a = fs.readFileSync("/proc/self/fd/" + n, "utf8"), b = fs.readFileSync("/dev/fd/" + n, "utf8")
if (a === b) process.stdout.write(fs.readFileSync(Number(n), "utf8"))`,
			"file": `process.stdout.write(require("fs").readFileSync(process.env.CLAUDE_SESSION_INGRESS_TOKEN_FILE, "utf8"))`,
		}},
		{"ingressauth", "token", map[string]string{"env": "--compat", "fd": "--compat", "file": "--compat"}},
		{"ingressauth", "token", map[string]string{"env": "--compat=false", "fd": "--compat=false", "file": "--compat=false"}},
	} {
		for _, deliver := range []string{"env", "fd", "file", "env,fd,file"} {
			script := kind.scripts[deliver[:max(strings.IndexByte(deliver, ','), 0)]]
			if script == "" {
				script = kind.scripts[deliver]
			}
			t.Run(kind.program+" by "+deliver, func(t *testing.T) {
				t.Parallel()
				w := newRunWorld(t)
				if kind.program != "ingressauth" {
					need(t, kind.program)
				}
				out, errs, code := w.output(w.run("--deliver", deliver, "--", kind.program, kind.flag, script))
				if strings.TrimSuffix(out, "\n") != testToken || errs != "" || code != 0 {
					t.Errorf("%q %q %d", out, errs, code)
				}
				if left := w.left(); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
			})
		}
	}
}

// TestRunTmux has a process that tmux starts, which inherits neither descriptor nor token
// variable, find the token in the file: the child's own, by its variable, where the child
// has started the server; the well-known one, without any variable, where somebody else
// has, and the child has left a token there that it had read from a descriptor.
func TestRunTmux(t *testing.T) {
	need(t, "tmux")
	tmux := func(t *testing.T, w *runWorld) string {
		socket := filepath.Join(t.TempDir(), "tmux")
		t.Cleanup(func() { exec.Command("tmux", "-S", socket, "kill-server").Run() })
		w.set("TMUX_TMPDIR="+t.TempDir(), "SOCKET="+socket)
		return socket
	}
	t.Run("by variable", func(t *testing.T) {
		w := newRunWorld(t)
		tmux(t, w)
		found := filepath.Join(t.TempDir(), "found")
		w.set("FOUND=" + found)
		_, errs, code := w.output(w.run("--deliver", "fd,file", "--", "sh", "-c", `
			tmux -f /dev/null -S "$SOCKET" new-session -d 'env -u CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR ingressauth token >"$FOUND.new" 2>&1; mv "$FOUND.new" "$FOUND"'
			for i in $(seq 2000); do [ -e "$FOUND" ] && exit 0; sleep 0.01; done; exit 1`))
		got, _ := os.ReadFile(found)
		if string(got) != testToken+"\n" || code != 0 {
			t.Errorf("%q %q %d", got, errs, code)
		}
		// The server was a descendant, too.
		if out, err := exec.Command("pgrep", "-f", "tmux.*"+w.runtime).Output(); err == nil {
			t.Errorf("left: %s", out)
		}
	})
	t.Run("by the well-known path", func(t *testing.T) {
		w := newRunWorld(t)
		socket := tmux(t, w)
		dir := t.TempDir()
		profile, found := filepath.Join(dir, "profile.json"), filepath.Join(dir, "found")
		if err := os.WriteFile(profile, fmt.Appendf(nil, `{"file": %q}`, filepath.Join(dir, "remote", "token")), 0o600); err != nil {
			t.Fatal(err)
		}
		server := exec.Command("tmux", "-f", "/dev/null", "-S", socket, "new-session", "-d", "sleep 60")
		server.Env = []string{"PATH=" + os.Getenv("PATH")}
		if out, err := server.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		w.set("FOUND="+found, "PROFILE="+profile, "CLAUDE_CODE_REMOTE=true", "COMMAND="+filepath.Join(commandDir(t), "ingressauth"))
		_, errs, code := w.output(w.run("--profile", profile, "--deliver", "fd", "--", "sh", "-c", `
			ingressauth token --profile "$PROFILE" >/dev/null || exit 2
			tmux -S "$SOCKET" new-window -d "env -0 >$FOUND.env; $COMMAND token --profile $PROFILE >$FOUND.new 2>&1; mv $FOUND.new $FOUND"
			for i in $(seq 2000); do [ -e "$FOUND" ] && exit 0; sleep 0.01; done; exit 1`))
		got, _ := os.ReadFile(found)
		if string(got) != testToken+"\n" || code != 0 {
			t.Errorf("%q %q %d", got, errs, code)
		}
		if env, err := os.ReadFile(found + ".env"); err != nil || strings.Contains(string(env), "CLAUDE") {
			t.Errorf("it did inherit something: %q %v", env, err)
		}
	})
}

// TestRunTransparent has a child get the arguments and the variables that it would have got,
// but for the delivery, and nothing written that is not its own.
func TestRunTransparent(t *testing.T) {
	w := newRunWorld(t)
	show := w.program("show")
	w.environ = append([]string{"ZZ=first", "EMPTY=", "AWS_SECRET=s", "CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR=",
		"EQUALS=a=b=c", "LINES=one\ntwo", "CLAUDE_CODE_REMOTE=", "UTF8=ü\xff", "AWS_KEY=k", "XAWS=x"}, w.environ...)
	args := []string{"", "two words", "--flag", "--", "-", "--from", "a\nb", "\xff", "*", testToken[:7]}
	plain := exec.Command(show, args...)
	plain.Env = w.environ
	want, _, _ := w.output(plain)
	// The child has no variable but those.
	var kept []string
	for line := range strings.Lines(want) {
		if !strings.HasPrefix(line, `"AWS_`) && !strings.HasPrefix(line, `"CLAUDE_CODE_WEBSOCKET`) && !strings.HasPrefix(line, `"CLAUDE_CODE_SESSION`) {
			kept = append(kept, line)
		}
	}
	kept = append(kept, fmt.Sprintf("%q\n", "CLAUDE_CODE_SESSION_ACCESS_TOKEN="+testToken))
	for _, flags := range [][]string{{"--deliver", "env"}, {"--deliver", "env", "--exec"}} {
		got, errs, code := w.output(w.run(slices.Concat(flags, []string{"--scrub", "AWS_*", "--", show}, args)...))
		if diff := cmp.Diff(kept, slices.Collect(strings.Lines(got))); diff != "" || errs != "" || code != 0 {
			t.Errorf("%v: %q %d (-want +got):\n%s", flags, errs, code, diff)
		}
	}
}

// TestRunExitCodes has the exit code be the child's, whatever it is.
func TestRunExitCodes(t *testing.T) {
	w := newRunWorld(t)
	for code := range 256 {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			out, errs, got := w.output(w.run("--", "sh", "-c", fmt.Sprintf("exit %d", code)))
			if got != code || out != "" || errs != "" {
				t.Errorf("%d %q %q", got, out, errs)
			}
		})
	}
	for number := 1; number <= 31; number++ {
		switch number {
		case 17, 18, 19, 20, 21, 22, 23, 28: // which end nothing
			continue
		}
		t.Run(fmt.Sprintf("signal %d", number), func(t *testing.T) {
			t.Parallel()
			_, _, got := w.output(w.run("--", "sh", "-c", fmt.Sprintf("ulimit -c 0; kill -%d $$", number)))
			if got != 128+number {
				t.Errorf("exit code %d", got)
			}
		})
	}
}

// TestRunRefuses has bad input said on one line, before anything is started.
func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/nonexistent/interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte{0, 1, 2}, 0o700); err != nil {
		t.Fatal(err)
	}
	started := filepath.Join(dir, "started")
	touch := []string{"--", "touch", started}
	for name, test := range map[string]struct {
		args []string
		env  []string
		code int
		want string
	}{
		"no command":         {nil, nil, 2, "needs a command"},
		"an empty command":   {[]string{"--", ""}, nil, 2, "needs a command"},
		"unknown flag":       {[]string{"--delivery", "env", "true"}, nil, 2, "no such flag"},
		"unknown delivery":   {append([]string{"--deliver", "env,argv"}, touch...), nil, 2, "env, fd, file"},
		"no delivery":        {append([]string{"--deliver", ""}, touch...), nil, 2, "env, fd, file"},
		"unknown source":     {append([]string{"--from", "argv"}, touch...), nil, 2, "auto, env, fd, file, control"},
		"unknown action":     {append([]string{"--on-rotate", "reboot"}, touch...), nil, 2, "none, signal=NAME, restart"},
		"unknown signal":     {append([]string{"--on-rotate", "signal=KILL"}, touch...), nil, 2, "HUP, INT"},
		"bad pattern":        {append([]string{"--scrub", "A["}, touch...), nil, 2, "--scrub"},
		"empty events":       {append([]string{"--events", ""}, touch...), nil, 2, "--events"},
		"events on stderr":   {append([]string{"--events", "fd:2"}, touch...), nil, 2, "3 or more"},
		"events nowhere":     {append([]string{"--events", "fd:7"}, touch...), nil, 125, "descriptor 7"},
		"events unwritable":  {append([]string{"--events", "/nonexistent/events"}, touch...), nil, 125, "no such file"},
		"events unread FIFO": {append([]string{"--events", fifo(t, dir)}, touch...), nil, 125, "nobody reads the pipe"},
		"no token":           {touch, []string{"CLAUDE_CODE_SESSION_ACCESS_TOKEN="}, 125, "no session token"},
		"not from there":     {append([]string{"--from", "file"}, touch...), []string{"CLAUDE_SESSION_INGRESS_TOKEN_FILE=/nonexistent/t"}, 125, "no session token"},
		"bad token":          {touch, []string{"CLAUDE_CODE_SESSION_ACCESS_TOKEN=a\nb"}, 125, "control character"},
		"no profile":         {append([]string{"--profile", "/nonexistent/p"}, touch...), nil, 125, "no such file"},
		"no runtime directory": {touch, []string{"XDG_RUNTIME_DIR=/nonexistent/runtime"}, 125,
			"directory /nonexistent/runtime/ingressauth"},
		"not found":                 {[]string{"--", "ingressauth-no-such-command"}, nil, 127, "not found in PATH"},
		"no such path":              {[]string{"--", "/nonexistent/command"}, nil, 127, "not found"},
		"no interpreter":            {[]string{"--", script}, nil, 127, "interpreter"},
		"not executable in PATH":    {[]string{"--", "unexecutable"}, []string{"PATH=" + unexecutable(t)}, 126, "not executable"},
		"not executable":            {[]string{"--", "/etc/passwd"}, nil, 126, "permission denied"},
		"a directory":               {[]string{"--", "/etc"}, nil, 126, "cannot be executed"},
		"no format":                 {[]string{"--", plain}, nil, 126, "exec format error"},
		"exec and file":             {append([]string{"--exec", "--deliver", "file"}, touch...), nil, 2, "--deliver file"},
		"exec and control":          {append([]string{"--exec", "--from", "control"}, touch...), nil, 2, "--from control"},
		"exec and rotations":        {append([]string{"--exec", "--on-rotate", "restart"}, touch...), nil, 2, "--on-rotate"},
		"exec and events":           {append([]string{"--exec", "--events", started}, touch...), nil, 2, "--events"},
		"exec, not found":           {[]string{"--exec", "--", "ingressauth-no-such-command"}, nil, 127, "not found in PATH"},
		"exec, not executable":      {[]string{"--exec", "--", "/etc/passwd"}, nil, 126, "permission denied"},
		"exec, no such path":        {[]string{"--exec", "--deliver", "fd", "--", script}, nil, 127, "interpreter"},
		"exec, no token":            {append([]string{"--exec"}, touch...), []string{"CLAUDE_CODE_SESSION_ACCESS_TOKEN="}, 125, "no session token"},
		"a token among the flags":   {[]string{"--" + testToken, "true"}, nil, 2, "no such flag"},
		"a token for the command":   {[]string{"--", testToken}, nil, 127, "not found"},
		"a token for the deliverer": {[]string{"--deliver", testToken, "true"}, nil, 2, "env, fd, file"},
		"a token for the events":    {[]string{"--events", testToken + "/x", "true"}, nil, 125, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRunWorld(t)
			w.set(test.env...)
			out, errs, code := w.output(w.run(test.args...))
			if code != test.code || out != "" || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit code %d, standard output %q, standard error %q; want %d and %q", code, out, errs, test.code, test.want)
			}
			if strings.Contains(errs, "made-up") {
				t.Errorf("a token is shown: %q", errs)
			}
			if _, err := os.Stat(started); err == nil {
				t.Error("the command was started")
				os.Remove(started)
			}
			if left := w.left(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
			// The events, where there are any, do not show it either.
			events := filepath.Join(t.TempDir(), "events")
			if !slices.ContainsFunc(test.args, func(a string) bool { return strings.HasPrefix(a, "--e") || a == "--"+testToken }) {
				w.output(w.run(append([]string{"--events", events}, test.args...)...))
				if text, _ := os.ReadFile(events); bytes.Contains(text, []byte("made-up")) {
					t.Errorf("a token is shown: %q", text)
				}
			}
		})
	}
	t.Run("all numbers taken", func(t *testing.T) {
		w := newRunWorld(t)
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		for _, flags := range [][]string{{"--deliver", "fd"}, {"--deliver", "fd", "--exec"}} {
			cmd := w.run(append(flags, touch...)...)
			cmd.ExtraFiles = slices.Repeat([]*os.File{null}, 7)
			if out, errs, code := w.output(cmd); code != 125 || out != "" || !strings.Contains(errs, "3 to 9") || strings.Count(errs, "\n") != 1 {
				t.Errorf("%q %q %d", out, errs, code)
			}
		}
	})
}

// unexecutable returns a directory with a file of this name.
func unexecutable(t *testing.T) string {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "unexecutable"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func fifo(t *testing.T, dir string) string {
	path := filepath.Join(dir, "fifo")
	if out, err := exec.Command("mkfifo", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// TestRunInput has large and binary standard input reach the child whole, by either way,
// and with messages taken out what was sent when there are rotations among it.
func TestRunInput(t *testing.T) {
	w := newRunWorld(t)
	data := make([]byte, 32<<20)
	rand.Read(data)
	want := fmt.Sprintf("%x  -\n", sha256.Sum256(data))
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("CLAUDE_SESSION_INGRESS_TOKEN_FILE=" + file)
	for _, flags := range [][]string{
		{"--deliver", "file"}, {"--deliver", "env", "--from", "file"}, {"--from", "control"}, {"--exec"},
		{"--deliver", "env,file", "--from", "control"}, {"--deliver", "env", "--from", "env"}, {"--from", "control", "--on-rotate", "restart"},
	} {
		cmd := w.run(append(flags, "--", "sha256sum")...)
		cmd.Stdin = bytes.NewReader(data)
		if out, errs, code := w.output(cmd); out != want || errs != "" || code != 0 {
			t.Errorf("%v: %q %q %d", flags, out, errs, code)
		}
		// An empty one ends at once, and so does one that is closed: package os has
		// /dev/null in its place.
		for _, empty := range []string{"</dev/null", "<&-"} {
			cmd := exec.Command("sh", "-c", `exec ingressauth run "$@" `+empty, "sh")
			cmd.Args = append(append(cmd.Args, flags...), "--", "wc", "-c")
			cmd.Env = w.environ
			if out, errs, code := w.output(cmd); strings.TrimSpace(out) != "0" || errs != "" || code != 0 {
				t.Errorf("%v %s: %q %q %d", flags, empty, out, errs, code)
			}
		}
		// Whoever writes to a child that has enough learns of it, but where lines are looked
		// at that may still bring a token.
		cmd = w.run(append(flags, "--", "sh", "-c", "head -c 5; exec <&-; sleep 0.5")...)
		cmd.Stdin = nil
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(in, bytes.NewReader(data)); err == nil && !slices.Contains(flags, "control") {
			t.Errorf("%v: %d bytes written to a child that took 5", flags, n)
		}
		in.Close()
		if err := cmd.Wait(); err != nil || !bytes.Equal(out.Bytes(), data[:5]) {
			t.Errorf("%v: %q %v", flags, out.Bytes(), err)
		}
	}
	t.Run("among rotations", func(t *testing.T) {
		var lines bytes.Buffer
		for i := range 200_000 {
			fmt.Fprintf(&lines, "line %d\n", i)
		}
		events := filepath.Join(t.TempDir(), "events")
		cmd := w.run("--deliver", "env", "--from", "file", "--events", events, "--", "cat")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for i, chunk := range slices.Collect(slices.Chunk(lines.Bytes(), 12345)) {
				in.Write(chunk)
				if i%20 == 0 {
					token := fmt.Sprintf("%s-%d", testToken, i)
					replace(t, file, token)
					// What comes next is written when the token is seen.
					for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
						if text, _ := os.ReadFile(events); bytes.Contains(text, []byte(fingerprint(token))) {
							break
						}
					}
				}
			}
			in.Close()
		}()
		out, errs, code := w.output(cmd)
		var kept strings.Builder
		messages := 0
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, `{"type":"update_environment_variables","variables":{"CLAUDE_CODE_SESSION_ACCESS_TOKEN":"`+testToken) {
				messages++
			} else {
				kept.WriteString(line)
			}
		}
		if messages < 2 || kept.String() != lines.String() || errs != "" || code != 0 {
			t.Errorf("%d messages; %d bytes of %d; %q %d", messages, kept.Len(), lines.Len(), errs, code)
		}
	})
}

// replace makes this the token in a file, by a rename.
func replace(t testing.TB, path, token string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(token), 0o600); err != nil {
		t.Error(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Error(err)
	}
}

// TestRunDescriptor3 has a descriptor that the runner uses left to the child, where it is.
func TestRunDescriptor3(t *testing.T) {
	w := newRunWorld(t)
	for _, flags := range [][]string{{"--deliver", "fd"}, {"--deliver", "fd", "--exec"}} {
		r, p, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := w.run(append(flags, "--", "sh", "-c", `echo active >&3; eval "cat <&$CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"; echo " $CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"`)...)
		cmd.ExtraFiles = []*os.File{p}
		out, errs, code := w.output(cmd)
		p.Close()
		active, _ := io.ReadAll(r)
		r.Close()
		if string(active) != "active\n" || out != testToken+" 4\n" || errs != "" || code != 0 {
			t.Errorf("%v: %q %q %q %d", flags, active, out, errs, code)
		}
	}
}

// TestRunClosed has others learn that the child has closed what it shares with them: nobody
// else holds it open.
func TestRunClosed(t *testing.T) {
	w := newRunWorld(t)
	for _, flags := range [][]string{nil, {"--exec"}, {"--deliver", "env", "--from", "env"}} {
		r, p, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := w.run(append(flags, "--", "sh", "-c", `exec 3>&- >&-; exec sleep 100`)...)
		cmd.ExtraFiles = []*os.File{p}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p.Close()
		r.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, err = io.ReadAll(r)
		_, e := io.ReadAll(out)
		if err != nil || e != nil {
			t.Errorf("%v: %v %v", flags, err, e)
		}
		r.Close()
		cmd.Process.Signal(unix.SIGTERM)
		cmd.Wait()
	}
}
