//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/refresh/refreshtest"
)

func init() { testPrograms["tool"] = tool }

// tool sends a request to $BASE with the token that it finds, and prints what it found and what
// the answer was.
func tool() int {
	t, err := ingressauth.Default.Token(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	base := os.Getenv("BASE")
	client := &http.Client{Transport: &ingressauth.Transport{Origins: []string{base}}}
	response, err := client.Get(base + "/tool")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Printf("%v %s %s", phantom.Is(t.Reveal()), response.Status, body)
	return 0
}

// newUpstream is a service that takes this token, and says so.
func newUpstream(t testing.TB, token string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, "served "+r.URL.Path)
	}))
	t.Cleanup(server.Close)
	return server
}

// TestRunBroker has a command get a phantom by every way, and use it.
func TestRunBroker(t *testing.T) {
	for _, ways := range []string{"broker", "broker,env", "broker,fd", "file,broker", "env,fd,file,broker"} {
		t.Run(ways, func(t *testing.T) {
			t.Parallel()
			w := newRunWorld(t)
			// All else that leads to the token.
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte(testToken), 0o600); err != nil {
				t.Fatal(err)
			}
			w.set("CLAUDE_SESSION_INGRESS_TOKEN_FILE="+file, "ANOTHER=is "+testToken)
			upstream := newUpstream(t, testToken)
			events := filepath.Join(t.TempDir(), "events")
			cmd := w.run("--deliver", ways, "--upstream", upstream.URL, "--url-env", "BASE", "--events", events, "--", w.program("tool"), "{url}")
			inherited, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer inherited.Close()
			cmd.ExtraFiles = []*os.File{inherited}
			stdout, stderr, code := w.output(cmd)
			if code != 0 || stdout != "true 200 OK served /tool" || stderr != "" {
				t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
			}
			if listens := eventsOf(t, events, eventListen); len(listens) != 1 || !strings.HasPrefix(fmt.Sprint(listens[0]["url"]), "http://127.0.0.1:") {
				t.Errorf("listens: %v", listens)
			}
			var failures []any
			for _, e := range eventsOf(t, events, eventFailure) {
				failures = append(failures, e["error"])
			}
			want := []any{"descriptor 3 is a file that held the token, and is kept from the command", "variable ANOTHER held the token, and is kept from the command"}
			if diff := cmp.Diff(want, failures); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
			if left := w.left(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestRunBrokerEnvironment looks at all that the command has.
func TestRunBrokerEnvironment(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	const other = "sk-ant-cc-made-up-other" // which the variable comes before
	w.set("CLAUDE_SESSION_INGRESS_TOKEN_FILE="+fileWith(t, "token", other+"\n"), "CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR=9", "INGRESSAUTH_BROKER=old", "TWO=2",
		"COPY="+testToken, "OTHER="+other)
	stdout, stderr, code := w.output(w.run("--deliver", "broker", "--upstream", "https://service.example", "--url-env", "ONE", "--url-env", "TWO", "--", w.program("show"), "{url}/v1", "x{url}{url}"))
	if code != 0 || strings.Contains(stdout, "made-up") {
		t.Fatalf("exit code %d: %s %s", code, stdout, stderr)
	}
	got := make(map[string]string)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	for _, line := range lines[2:] {
		name, value, _ := strings.Cut(strings.Trim(line, `"`), "=")
		if _, twice := got[name]; twice {
			t.Errorf("%s stands twice", name)
		}
		got[name] = value
	}
	url := got["INGRESSAUTH_BROKER"]
	if !strings.HasPrefix(url, "http://127.0.0.1:") || got["ONE"] != url || got["TWO"] != url {
		t.Errorf("URL %q, %q, %q", url, got["ONE"], got["TWO"])
	}
	if lines[0] != fmt.Sprintf("%q", url+"/v1") || lines[1] != fmt.Sprintf("%q", "x"+url+url) {
		t.Errorf("arguments %s", lines[:2])
	}
	for _, name := range []string{"CLAUDE_SESSION_INGRESS_TOKEN_FILE", "CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"} {
		if v, ok := got[name]; ok {
			t.Errorf("%s=%s", name, v)
		}
	}
	if !phantom.Is(got["CLAUDE_CODE_SESSION_ACCESS_TOKEN"]) {
		t.Errorf("the token is %q", got["CLAUDE_CODE_SESSION_ACCESS_TOKEN"])
	}
}

// TestRunBrokerInput keeps all messages with the token from the command, and takes the token
// from those that are in order.
func TestRunBrokerInput(t *testing.T) {
	t.Parallel()
	const newer = "sk-ant-cc-made-up-newer-token-of-a-test"
	upstream := newUpstream(t, newer)
	w := newRunWorld(t)
	w.set("BASE=x")
	events := filepath.Join(t.TempDir(), "events")
	cmd := w.run("--deliver", "broker", "--upstream", upstream.URL, "--events", events, "--",
		"sh", "-c", `while read -r line; do case $line in ask) curl -sS -H "Authorization: Bearer $CLAUDE_CODE_SESSION_ACCESS_TOKEN" "$INGRESSAUTH_BROKER/x"; echo ;; *) echo "$line" ;; esac; done`)
	need(t, "curl")
	const intro = `{"type":"update_environment_variables","variables":{"CLAUDE_CODE_SESSION_ACCESS_TOKEN":"`
	cmd.Stdin = strings.NewReader("first\n" +
		intro + newer + "\"}}\n" + // in order
		intro + "made-up-malformed\"}\n" +
		intro + "made-up-trailing\"}} x\n" +
		intro + "made-up-long" + strings.Repeat("g", 2<<20) + "\"}}\n" +
		`{"type":"other","variables":{}}` + "\n" +
		"ask\nlast\n" + intro + "made-up-cut")
	stdout, stderr, code := w.output(cmd)
	if want := "first\n{\"type\":\"other\",\"variables\":{}}\nserved /x\nlast\n"; code != 0 || stdout != want || stderr != "" {
		t.Errorf("exit code %d, %q, %q; want %q", code, stdout, stderr, want)
	}
	readEvents(t, events)
}

// TestRunBrokerRefuses has flags that make no sense.
func TestRunBrokerRefuses(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--deliver", "broker"}, 2, "--upstream is missing"},
		{[]string{"--upstream", "https://a.example"}, 2, "--upstream is for --deliver broker"},
		{[]string{"--confine"}, 2, "--confine is for --deliver broker"},
		{[]string{"--listen", "x"}, 2, "--listen is for"},
		{[]string{"--deliver", "broker", "--upstream", "http://a.example"}, 2, "plain HTTP"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example/path"}, 2, "nothing else"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--listen", "0.0.0.0:0"}, 2, "loopback"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--allow", "GET"}, 2, "rule"},
		{[]string{"--deliver", "broker", "--allow", "GET /", "--upstream", "https://a.example"}, 2, "--allow takes"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--exec"}, 2, "nobody who could hold"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--on-rotate", "restart"}, 2, "--on-rotate"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--foreign", "x"}, 2, "--foreign takes one of"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--url-env", "1X"}, 2, "--url-env takes"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--access-log", ""}, 2, "--access-log has an empty"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--access-log", "/nonexistent/x"}, 125, "--access-log: open"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--access-log", "fd:3"}, 2, "put ./ before"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--access-log", pipe}, 125, "nobody reads the pipe"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--events", pipe}, 125, "nobody reads the pipe"},
		{[]string{"--deliver", "broker", "--upstream", "=https://a.example"}, 2, "is a variable not set?"},
		{[]string{"--deliver", "broker", "--upstream", "a/=https://a.example"}, 2, "begin a path with a slash"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--metrics", "0.0.0.0:1"}, 2, "--metrics takes"},
		{[]string{"--deliver", "broker", "--upstream", "unix:/x=https://a.example"}, 2, "names a listener"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--url-env", "CLAUDE_CODE_SESSION_ACCESS_TOKEN"}, 125, "has to do with tokens"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--user", ""}, 2, "--user needs"},
		{[]string{"--deliver", "broker", "--upstream", "https://a.example", "--user", "no-such-user"}, 125, "--user"},
	} {
		stdout, stderr, code := w.output(w.run(append(test.args, "--", "echo", "started")...))
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q, %q; want %d, %q", test.args, code, stdout, stderr, test.code, test.says)
		}
	}
	w.set("CLAUDE_CODE_SESSION_ACCESS_TOKEN=" + phantom.New(false))
	stdout, stderr, code := w.output(w.run("--deliver", "broker", "--upstream", "https://a.example", "--", "echo", "started"))
	if code != 125 || stdout != "" || !strings.Contains(stderr, "phantom") {
		t.Errorf("a phantom for a token: exit code %d, %q, %q", code, stdout, stderr)
	}
}

// unprivileged has a command be run as a user who owns nothing, with these variables alone. It is
// a copy of the command that this user can reach.
func unprivileged(t *testing.T, script string, variables ...string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	dir, err := os.MkdirTemp("", "ingressauth-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile(filepath.Join(commandDir(t), "ingressauth"))
	if err != nil {
		t.Fatal(err)
	}
	// A process that another test starts meanwhile would have it open for writing for a moment,
	// in which nobody can execute it.
	syscall.ForkLock.RLock()
	err = os.WriteFile(filepath.Join(dir, "ingressauth"), b, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, "tmp"): os.ModeSticky | 0o777} {
		os.Mkdir(path, mode)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "TMPDIR=" + dir + "/tmp", "GORACE=atexit_sleep_ms=0", "CLAUDE_CODE_SESSION_ACCESS_TOKEN=" + testToken}, variables...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd
}

// readAll is a script that reads what it can of the processes above: the supervisor, the guard,
// and their launcher.
const readAll = `
supervisor=$PPID
guard=$(cut -d" " -f4 /proc/$supervisor/stat)
launcher=$(cut -d" " -f4 /proc/$guard/stat)
for name in supervisor guard launcher; do
	eval pid=\$$name
	echo "$name environ $(tr "\0" "\n" </proc/$pid/environ 2>/dev/null | grep -c "^CLAUDE.*made-up")"
	echo "$name memory $(dd if=/proc/$pid/mem bs=1 count=0 2>/dev/null && echo opened)"
	echo "$name descriptor $(cat /proc/$pid/fd/5 2>/dev/null)"
	kill -0 $pid 2>/dev/null && echo "$name takes signals"
done
:`

// TestRunConfine has a command of the same user try to read the token where its launcher has it.
func TestRunConfine(t *testing.T) {
	for _, confined := range []bool{false, true} {
		t.Run(fmt.Sprint(confined), func(t *testing.T) {
			t.Parallel()
			flag := ""
			if confined {
				flag = "--confine"
			}
			cmd := unprivileged(t, `
echo made-up-secret-in-a-file >secret; exec 5<secret; rm secret
ingressauth run --deliver broker --upstream https://service.example `+flag+` -- sh -c "$READ"; echo exit $?`, "READ="+readAll)
			dir := cmd.Dir
			cmd.Dir = filepath.Join(dir, "tmp")
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want := "supervisor environ 0\nsupervisor memory \nsupervisor descriptor \n"
			if !confined {
				want += "supervisor takes signals\n"
			}
			want += "guard environ 0\nguard memory \nguard descriptor \n"
			if !confined {
				want += "guard takes signals\n"
			}
			if confined {
				want += "launcher environ 0\nlauncher memory \nlauncher descriptor \n"
			} else {
				want += "launcher environ 1\nlauncher memory opened\nlauncher descriptor made-up-secret-in-a-file\nlauncher takes signals\n"
			}
			want += "exit 0\n"
			if diff := cmp.Diff(want, string(out)); diff != "" {
				t.Errorf("what can be read (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRunIsolated starts nothing that could read the token elsewhere.
func TestRunIsolated(t *testing.T) {
	for _, test := range []struct {
		name, flags, script string
		code                int
		finding             string // a part of one, "" if there is none
	}{
		{"a launcher that has it", "", `RUN`, 125, "in the environment of process"},
		{"a launcher that has it, and a wall", "--confine", `RUN`, 0, ""},
		{"a file that is the user's own, and a wall", "--confine --from file", `file=$PWD/token; printf %s "$CLAUDE_CODE_SESSION_ACCESS_TOKEN" >$file; chmod 600 $file
exec env -u CLAUDE_CODE_SESSION_ACCESS_TOKEN CLAUDE_SESSION_INGRESS_TOKEN_FILE=$file RUN`, 125, "token"},
		{"another token than the one that is used", "--from command:./print", `printf '#!/bin/sh\necho sk-ant-cc-made-up-printed' >print; chmod 700 print
RUN`, 125, "in the environment of process"},
		{"a pipe that it does not read", "--confine --from env", `mkfifo pipe; printf %s "$CLAUDE_CODE_SESSION_ACCESS_TOKEN" >pipe & exec env CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR=6 RUN 6<pipe`, 0, ""},
		{"a file that it does not read", "--confine --from env", `file=$PWD/token; printf sk-ant-cc-made-up-other >$file; chmod 600 $file
exec env CLAUDE_SESSION_INGRESS_TOKEN_FILE=$file RUN`, 125, "token"},
		{"an argument", "--confine", `exec RUN $CLAUDE_CODE_SESSION_ACCESS_TOKEN`, 125, "in the arguments of process"},
		{"an argument of its launcher", "--confine", `set -- $CLAUDE_CODE_SESSION_ACCESS_TOKEN; sh -c 'RUN; exit $?' x "$@"`, 125, "in the arguments of process"},
		{"a number with white space", "--confine --from env", `mkfifo pipe; printf %s "$CLAUDE_CODE_SESSION_ACCESS_TOKEN" >pipe & exec env CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR=" 6;" RUN 6<pipe`, 0, ""},
		{"a file that is written to", "--confine", `exec 6>file; printf %s "$CLAUDE_CODE_SESSION_ACCESS_TOKEN" >&6; exec RUN`, 0, ""},
		{"a phantom in the file", "--confine", `file=$PWD/token; printf ingressauth-phantom-x >$file; chmod 600 $file
exec env CLAUDE_SESSION_INGRESS_TOKEN_FILE=$file RUN`, 0, ""},
		{"a command that prints it", "--from command:./print", `unset CLAUDE_CODE_SESSION_ACCESS_TOKEN; printf '#!/bin/sh\necho sk-ant-cc-made-up-printed' >print; chmod 700 print
exec RUN`, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			run := "ingressauth run --deliver broker --require-isolated --upstream https://service.example --events events " + test.flags + " -- sh -c \"(echo started; cat <&6; cat /proc/self/fd/6) 2>/dev/null; exit 0\" x"
			cmd := unprivileged(t, "cd tmp; "+strings.ReplaceAll(test.script, "RUN", run))
			if test.name == "a command that prints it" { // without what its launcher has
				cmd.Args = []string{"env", "-u", "CLAUDE_CODE_SESSION_ACCESS_TOKEN", "sh", "-c", cmd.Args[2]}
				cmd.Path, _ = exec.LookPath("env")
			}
			out, _ := cmd.CombinedOutput()
			events, _ := os.ReadFile(filepath.Join(cmd.Dir, "tmp", "events"))
			if code := cmd.ProcessState.ExitCode(); code != test.code || strings.Contains(string(out), "started") != (code == 0) {
				t.Errorf("exit code %d: %s", code, out)
			}
			found := bytes.Contains(events, []byte(`"event":"exposure"`))
			if found != (test.finding != "") || !bytes.Contains(events, []byte(test.finding)) {
				t.Errorf("events %s", events)
			}
			if strings.Contains(string(out)+string(events), "made-up") {
				t.Errorf("it shows the token: %s %s", out, events)
			}
		})
	}
}

// TestRunUser runs a command as another user, with a phantom that this user can read, and a
// socket to connect to.
func TestRunUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	need(t, "curl")
	t.Parallel()
	upstream := newUpstream(t, testToken)
	dir := unprivileged(t, "").Dir
	place := filepath.Join(dir, "place")
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(place, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"nobody", "65534"} {
		cmd := exec.Command(filepath.Join(dir, "ingressauth"), "run", "--deliver", "broker,file", "--user", user, "--confine", "--upstream", upstream.URL,
			"--listen", "unix:"+place+"/socket", "--listen", "127.0.0.1:0", "--", "sh", "-c", `
id -u; echo $LOGNAME
cut -c1-19 "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"
curl -sS --unix-socket "${INGRESSAUTH_BROKER#unix:}" http://localhost/x
echo; ingressauth status | grep broker:`)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "TMPDIR=" + dir + "/tmp", "GORACE=atexit_sleep_ms=0", "CLAUDE_CODE_SESSION_ACCESS_TOKEN=" + testToken}
		out, err := cmd.CombinedOutput()
		want := "65534\nnobody\ningressauth-phantom\nserved /x\nbroker: unix:" + place + "/socket answers, and takes the phantom\n"
		if err != nil || string(out) != want {
			t.Errorf("%v: %q, want %q", err, out, want)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// TestRunUserSocket makes no directories of our own for a socket that is another user's.
func TestRunUserSocket(t *testing.T) {
	t.Parallel()
	dir := unprivileged(t, "").Dir
	place := filepath.Join(dir, "place")
	if err := errors.Join(os.Mkdir(place, 0o700), os.Chown(place, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "ingressauth"), "run", "--deliver", "broker", "--user", "65534", "--upstream", "https://service.example",
		"--listen", "unix:"+place+"/made/socket", "--", "true")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir + "/tmp", "GORACE=atexit_sleep_ms=0", "CLAUDE_CODE_SESSION_ACCESS_TOKEN=" + testToken}
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != exitRun || !strings.Contains(string(out), "cannot get to the socket") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if left, _ := os.ReadDir(place); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestRunHidden has the processes that hold the token be shown to nobody, and leave no core.
func TestRunHidden(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	cmd := w.run("--deliver", "broker", "--upstream", "https://service.example", "--", "sh", "-c",
		`for p in $PPID $(cut -d" " -f4 /proc/$PPID/stat); do stat -c %u:%g /proc/$p/environ; done; echo $PPID; read -r line`)
	// To root all files are root's. To be told from that, the user is another one.
	if os.Getuid() == 0 {
		un := unprivileged(t, "")
		cmd = exec.Command(filepath.Join(un.Dir, "ingressauth"), cmd.Args[1:]...)
		cmd.Env, cmd.SysProcAttr, cmd.Dir = un.Env, un.SysProcAttr, un.Dir
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(input, "\n")
	input.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if !strings.HasPrefix(out.String(), "0:0\n0:0\n") {
		t.Errorf("the owners are %s", out.String())
	}
}

// TestStatusInside has a process below say what it has, and where it could read the token.
func TestStatusInside(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	upstream := newUpstream(t, testToken)
	for _, way := range []string{"env", "fd", "file"} {
		stdout, stderr, code := w.output(w.run("--deliver", "broker,"+way, "--upstream", upstream.URL, "--", "ingressauth", "status"))
		if code != 0 || !strings.Contains(stdout, " answers, and takes the phantom\n") {
			t.Errorf("by %s: exit code %d, %s%s", way, code, stdout, stderr)
		}
	}
	stdout, stderr, code := w.output(w.run("--deliver", "broker", "--upstream", upstream.URL, "--", "sh", "-c", "ingressauth status; ingressauth status -o json"))
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	text, rest, _ := strings.Cut(stdout, "{\n")
	for _, part := range []string{"a phantom, for which a broker puts the token on requests", "broker: http://127.0.0.1:", " answers, and takes the phantom\n", "exposed: the command "} {
		if !strings.Contains(text, part) {
			t.Errorf("status lacks %q: %s", part, text)
		}
	}
	var report struct {
		Sources []struct{ Phantom bool }
		Run     struct {
			Broker, Answers string
			Findings        []string
		}
	}
	if err := json.Unmarshal([]byte("{\n"+rest), &report); err != nil {
		t.Fatalf("%v: %s", err, rest)
	}
	if !report.Sources[0].Phantom || report.Run.Broker == "" || report.Run.Answers == "" || len(report.Run.Findings) == 0 {
		t.Errorf("%+v", report)
	}
}

// TestRunBrokerFeedsNothingBack has a child put its phantom where run finds the token.
func TestRunBrokerFeedsNothingBack(t *testing.T) {
	need(t, "curl")
	t.Parallel()
	w := newRunWorld(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("CLAUDE_CODE_SESSION_ACCESS_TOKEN=", "CLAUDE_SESSION_INGRESS_TOKEN_FILE="+file, "FILE="+file)
	upstream := newUpstream(t, testToken)
	events := filepath.Join(t.TempDir(), "events")
	stdout, _, code := w.output(w.run("--deliver", "broker", "--upstream", upstream.URL, "--events", events, "--", "sh", "-c", `
ask() { curl -sS -o /dev/null -w '%{http_code} ' -H "Authorization: Bearer $CLAUDE_CODE_SESSION_ACCESS_TOKEN" "$INGRESSAUTH_BROKER/"; }
ask
printf %s "$CLAUDE_CODE_SESSION_ACCESS_TOKEN" >$FILE.new; mv $FILE.new $FILE
until [ "$(ask)" = "503 " ]; do sleep 0.01; done
ask
printf %s `+testToken+` >$FILE.new; mv $FILE.new $FILE
until [ "$(ask)" = "200 " ]; do sleep 0.01; done
ask`))
	if code != 0 || stdout != "200 503 200 " {
		t.Errorf("exit code %d: %q", code, stdout)
	}
	said := false
	for _, e := range readEvents(t, events) {
		said = said || strings.Contains(fmt.Sprint(e["error"]), "phantom")
	}
	if !said {
		t.Error("no event says that a phantom was found")
	}
}

// TestRunBrokerKilled has run be killed, and another one use its socket.
func TestRunBrokerKilled(t *testing.T) {
	need(t, "curl")
	t.Parallel()
	w := newRunWorld(t)
	upstream := newUpstream(t, testToken)
	dir, err := os.MkdirTemp("", "b-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	args := []string{"--deliver", "broker", "--upstream", upstream.URL, "--listen", "unix:" + dir + "/d/s", "--", "sh", "-c", `
curl -sS --unix-socket "${INGRESSAUTH_BROKER#unix:}" http://localhost/x; echo; echo $PPID; $WAIT`}
	first := w.run(args...)
	first.Env = append(first.Env, "WAIT=sleep 60")
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	var supervisor int
	if n, err := fmt.Fscanf(out, "served /x\n%d\n", &supervisor); n != 1 {
		t.Fatal(err)
	}
	if _, stderr, code := w.output(w.run(args...)); code != 125 || !strings.Contains(stderr, "another process listens") {
		t.Errorf("a second one: exit code %d, %s", code, stderr)
	}
	if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first.Wait()
	if _, err := os.Lstat(dir + "/d/s"); err != nil {
		t.Errorf("whoever is killed removes nothing: %v", err)
	}
	second := w.run(args...)
	second.Env = append(second.Env, "WAIT=:")
	if stdout, stderr, code := w.output(second); code != 0 || !strings.HasPrefix(stdout, "served /x\n") {
		t.Errorf("the next one: exit code %d, %q %q", code, stdout, stderr)
	}
	if _, err := os.Lstat(dir + "/d/s"); err == nil {
		t.Error("the socket is left")
	}
}

// TestRunBrokerTree lets in what the command leaves behind, and nobody else.
func TestRunBrokerTree(t *testing.T) {
	need(t, "curl", "setsid")
	t.Parallel()
	w := newRunWorld(t)
	upstream := newUpstream(t, testToken)
	dir, err := os.MkdirTemp("", "b-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w.set("OUT="+dir+"/out", "SOCKET="+dir+"/d/s")
	cmd := w.run("--deliver", "broker", "--upstream", upstream.URL, "--listen", "unix:"+dir+"/d/s", "--", "sh", "-c", `
setsid sh -c '(setsid sh -c "sleep 0.2; curl -sS --unix-socket $SOCKET http://localhost/daemon >$OUT.tmp; mv $OUT.tmp $OUT" &)'
until [ -e $OUT ]; do sleep 0.01; done
cat $OUT; echo; read -r line`)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var served, path string
	fmt.Fscan(out, &served, &path)
	if served+path != "served/daemon" {
		t.Errorf("a daemon of the command: %s %s", served, path)
	}
	outside, err := exec.Command("curl", "-sS", "--unix-socket", dir+"/d/s", "http://localhost/x").CombinedOutput()
	if err != nil || !strings.Contains(string(outside), "NotInTree") {
		t.Errorf("a process outside: %v: %s", err, outside)
	}
	input.Close()
	cmd.Wait()
}

// TestRunIsolatedSecret starts nothing that could get a token of its own.
func TestRunIsolatedSecret(t *testing.T) {
	w := newRunWorld(t)
	server := refreshtest.NewEndpoint()
	defer server.Close()
	source := sourceFor(t, map[string]any{"from": "endpoint:" + server.URL, "client_id": "c", "client_secret_file": fileWith(t, "secret", "made-up-secret")})
	for _, flags := range [][]string{{"--confine"}, {"--confine", "--require-isolated"}} {
		events := filepath.Join(t.TempDir(), "events")
		args := append([]string{"--source", source, "--deliver", "broker", "--upstream", "https://service.example", "--events", events}, flags...)
		_, stderr, code := w.output(withoutTerminal(w.run(append(args, "--", "true")...)))
		if want := map[int]int{1: 0, 2: exitRun}[len(flags)]; code != want || strings.Contains(stderr, "made-up") {
			t.Errorf("%q: exit code %d, %q", flags, code, stderr)
		}
		if found := fmt.Sprint(eventsOf(t, events, eventExposure)); !strings.Contains(found, "get tokens with") {
			t.Errorf("%q: %s", flags, found)
		}
	}
}

// TestRunIsolatedInherit starts nothing that has what its token command gets tokens with.
func TestRunIsolatedInherit(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	w.set("CLAUDE_CODE_SESSION_ACCESS_TOKEN=", "HELPER_SECRET=made-up-secret")
	source := sourceFor(t, map[string]any{"command": []string{"sh", "-c", "echo " + testToken}, "inherit": []string{"HELPER_SECRET", "UNSET"}})
	for scrub, want := range map[string]int{"OTHER": exitRun, "HELPER_*": 0} {
		stdout, stderr, code := w.output(withoutTerminal(w.run("--source", source, "--deliver", "broker", "--upstream", "https://service.example", "--confine", "--require-isolated", "--scrub", scrub,
			"--", "sh", "-c", `echo "$HELPER_SECRET"`)))
		if code != want || strings.Contains(stdout+stderr, "made-up") || strings.Contains(stderr, "HELPER_SECRET") != (want != 0) || strings.Contains(stderr, "UNSET") {
			t.Errorf("without %s: exit code %d, %q, %q", scrub, code, stdout, stderr)
		}
	}
}

// TestRunIsolatedUser finds a file below a closed directory where the command starts within, or
// inherits one that is.
func TestRunIsolatedUser(t *testing.T) {
	t.Parallel()
	dir := unprivileged(t, "").Dir
	within := filepath.Join(dir, "closed", "open")
	if err := os.MkdirAll(within, 0o755); err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(within, "token")
	if err := errors.Join(os.WriteFile(token, []byte(testToken), 0o644), os.Chmod(token, 0o644), os.Chmod(within, 0o755), os.Chmod(filepath.Dir(within), 0o700)); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(within)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for _, test := range []struct {
		dir       string
		inherited []*os.File
		found     bool
	}{{"/", nil, false}, {within, nil, true}, {"/", []*os.File{open}, true}} {
		cmd := exec.Command(filepath.Join(dir, "ingressauth"), "run", "--from", "file", "--deliver", "broker", "--upstream", "https://service.example", "--user", "65534", "--require-isolated",
			"--", "sh", "-c", "cat token /proc/self/fd/3/token 2>/dev/null; exit 0")
		withoutTerminal(cmd)
		cmd.Dir, cmd.ExtraFiles = test.dir, test.inherited
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir + "/tmp", "GORACE=atexit_sleep_ms=0", "CLAUDE_SESSION_INGRESS_TOKEN_FILE=" + token}
		out, err := cmd.CombinedOutput()
		if (err != nil) != test.found || strings.Contains(string(out), "in the file") != test.found || strings.Contains(string(out), testToken) {
			t.Errorf("in %s, with %d inherited: %v: %s", test.dir, len(test.inherited), err, out)
		}
	}
}

// TestAccessLogStalls has nobody take the lines of the access log: requests are served all the same,
// and run ends.
func TestAccessLogStalls(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	path := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	long := strings.Repeat("x", 1000)
	cmd := exec.CommandContext(ctx, filepath.Join(commandDir(t), "ingressauth"), "run", "--deliver", "broker", "--upstream", newUpstream(t, testToken).URL,
		"--access-log", path, "--url-env", "U", "--", "sh", "-c",
		`for i in $(seq 200); do echo "url=$U/`+long+`"; done | curl -sS -o /dev/null -m 20 -H "Authorization: Bearer $CLAUDE_CODE_SESSION_ACCESS_TOKEN" -K -`)
	cmd.Env = w.environ
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %.200s", err, out)
	}
}

// TestAccessLogFull has no room for the lines of the access log, which is said once.
func TestAccessLogFull(t *testing.T) {
	need(t, "curl")
	t.Parallel()
	w := newRunWorld(t)
	events := filepath.Join(t.TempDir(), "events")
	stdout, stderr, code := w.output(w.run("--deliver", "broker", "--upstream", newUpstream(t, testToken).URL, "--access-log", "/dev/full", "--metrics", "127.0.0.1:0", "--events", events, "--url-env", "U",
		"--", "sh", "-c", `for i in 1 2 3; do curl -sS -H "Authorization: Bearer $CLAUDE_CODE_SESSION_ACCESS_TOKEN" "$U/$i"; done`))
	if stdout != "served /1served /2served /3" || stderr != "" || code != 0 {
		t.Errorf("%q, %q, %d", stdout, stderr, code)
	}
	if failures := eventsOf(t, events, eventFailure); len(failures) != 1 || !strings.Contains(fmt.Sprint(failures), "lines of the access log are lost; err: no space left") {
		t.Errorf("failures: %v", failures)
	}
	if listens := eventsOf(t, events, eventListen); len(listens) != 2 || !strings.HasSuffix(fmt.Sprint(listens[1]["url"]), "/metrics") {
		t.Errorf("listens: %v", listens)
	}
}

// TestBrokerExpires has the phantom expire, which is said.
func TestBrokerExpires(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	cmd := exec.Command(filepath.Join(commandDir(t), "ingressauth"), "broker", "--upstream", newUpstream(t, testToken).URL, "--expires-in", "10ms")
	cmd.Env = w.environ
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(stderr).ReadString('\n')
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || !strings.Contains(line, "the phantom has expired") {
		t.Errorf("%q, %v", line, err)
	}
}

// TestBrokerSocketOwner has root listen where another user could put another socket in the place of
// the broker's.
func TestBrokerSocketOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	t.Parallel()
	w := newRunWorld(t)
	dir := filepath.Join(t.TempDir(), "of another")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--upstream", "https://service.example", "--listen", "unix:" + dir + "/socket"}
	alone := exec.Command(filepath.Join(commandDir(t), "ingressauth"), append([]string{"broker"}, flags...)...)
	alone.Env = w.environ
	for _, cmd := range []*exec.Cmd{w.run(append(append([]string{"--deliver", "broker"}, flags...), "--", "echo", "started")...), alone} {
		stdout, stderr, code := w.output(cmd)
		if stdout != "" || code == 0 || !strings.Contains(stderr, "is another user's") {
			t.Errorf("%q: exit code %d, %q, %q", cmd.Args, code, stdout, stderr)
		}
	}
}

// TestBrokerAlone is the command broker.
func TestBrokerAlone(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	upstream := newUpstream(t, testToken)
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(filepath.Join(commandDir(t), "ingressauth"), "broker", "--upstream", "/a/="+upstream.URL, "--allow", "GET /x",
		"--listen", "127.0.0.1:0", "--access-log", log, "--expires-in", "1h", "--metrics", "127.0.0.1:0")
	cmd.Env = w.environ
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var g greeting
	if err := json.NewDecoder(out).Decode(&g); err != nil {
		t.Fatal(err)
	}
	if !phantom.Is(g.Phantom) || len(g.Listeners) != 1 || g.Listeners[0] != g.URL || time.Until(g.Expires) < 59*time.Minute {
		t.Errorf("%+v", g)
	}
	for path, status := range map[string]int{"/a/x": 200, "/a/y": 404, "/x": 404} {
		r, _ := http.NewRequest("GET", g.URL+path, nil)
		r.Header.Set("Authorization", "Bearer "+g.Phantom)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
	for url, want := range map[string]string{g.Metrics: `ingressauth_broker_requests_total{child="",reason="",route="/a/",status="200"} 1`, strings.TrimSuffix(g.Metrics, "metrics"): "404 page not found"} {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !strings.Contains(string(body), want) {
			t.Errorf("%s: %s", url, body)
		}
	}
	for _, test := range []struct {
		method, host string
		status       int
	}{{"HEAD", "localhost:" + g.Metrics[strings.LastIndexByte(g.Metrics, ':')+1:len(g.Metrics)-len("/metrics")], 200}, {"GET", "page.example", 421}, {"POST", "", 405}} {
		r, _ := http.NewRequest(test.method, g.Metrics, nil)
		r.Host = test.host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != test.status {
			t.Errorf("%s of %s: %s", test.method, test.host, response.Status)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || stderr.String() != "" {
		t.Errorf("%v: %s", err, stderr.String())
	}
	text, err := os.ReadFile(log)
	if err != nil || bytes.Count(text, []byte("\n")) != 3 || bytes.Contains(text, []byte("made-up")) {
		t.Errorf("%v: %s", err, text)
	}
	for _, test := range []struct {
		environ string
		args    []string
		code    int
		says    string
	}{
		{"CLAUDE_CODE_SESSION_ACCESS_TOKEN=", []string{"--upstream", upstream.URL}, 3, "no session token"},
		{"CLAUDE_CODE_SESSION_ACCESS_TOKEN=" + phantom.New(true), []string{"--upstream", upstream.URL}, 3, "phantom"},
		{"", nil, 2, "--upstream"},
		{"", []string{"--upstream", upstream.URL, "--from", "control"}, 2, "--from takes"},
		{"", []string{"--upstream", upstream.URL, "--expires-in", "-1s"}, 2, "--expires-in takes"},
		{"", []string{"--upstream", upstream.URL, "--listen", "example.com:80"}, 2, "loopback"},
		{"", []string{"--upstream", upstream.URL, "word"}, 2, "no arguments"},
	} {
		cmd := exec.Command(filepath.Join(commandDir(t), "ingressauth"), append([]string{"broker"}, test.args...)...)
		cmd.Env = append(w.environ, test.environ)
		stdout, stderr, code := w.output(cmd)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%q: exit code %d, %q, %q", test.args, code, stdout, stderr)
		}
	}
}

// TestRunBrokerPersists has descriptors be written to the file for others, in a remote session: the
// token by nobody, and the phantom in the place of none.
func TestRunBrokerPersists(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	file := filepath.Join(t.TempDir(), "token")
	profile := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(profile, []byte(fmt.Sprintf(`{"file": %q}`, file)), 0o600); err != nil {
		t.Fatal(err)
	}
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	io.WriteString(pipe, testToken)
	pipe.Close()
	w.set("CLAUDE_CODE_SESSION_ACCESS_TOKEN=", "CLAUDE_CODE_REMOTE=1", "CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR=3")
	cmd := w.run("--profile", profile, "--deliver", "broker,fd", "--upstream", "https://service.example", "--", "sh", "-c",
		`ingressauth token --profile "$0" | cut -c1-19; echo $CLAUDE_CODE_REMOTE`, profile)
	cmd.ExtraFiles = []*os.File{r}
	stdout, stderr, code := w.output(cmd)
	if code != 0 || stdout != "ingressauth-phantom\n1\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if b, err := os.ReadFile(file); err == nil {
		t.Errorf("the file has %q", b)
	}
}

// TestRunBrokerDescriptors keeps files from the command that it could read by descriptor alone, and
// says which it cannot look into.
func TestRunBrokerDescriptors(t *testing.T) {
	t.Parallel()
	w := newRunWorld(t)
	dir := t.TempDir()
	var files []*os.File
	for name, size := range map[string]int{"small": 0, "large": 200 << 10, "huge": maxSearch} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", size)+testToken), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"small", "large", "huge"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		os.Remove(f.Name()) // nobody can open it by its path
		files = append(files, f)
	}
	events := filepath.Join(t.TempDir(), "events")
	cmd := w.run("--deliver", "broker", "--upstream", "https://service.example", "--events", events, "--", "sh", "-c", `ls /proc/$$/fd; exit`) // a pipe would be two more of them for a moment
	cmd.ExtraFiles = files
	stdout, stderr, code := w.output(cmd)
	if fds := strings.Fields(stdout); code != 0 || slices.Contains(fds, "3") || slices.Contains(fds, "4") || !slices.Contains(fds, "5") {
		t.Errorf("exit code %d, descriptors %s, %s", code, stdout, stderr)
	}
	var said []string
	for _, e := range readEvents(t, events) {
		said = append(said, fmt.Sprint(e["error"], e["finding"]))
	}
	for _, part := range []string{"descriptor 3 is a file that held", "descriptor 4 is a file that held", "descriptor 5, a file that cannot be looked into"} {
		if !strings.Contains(strings.Join(said, "\n"), part) {
			t.Errorf("no event says %q: %s", part, said)
		}
	}
}

// TestRunBrokerProxy has clients below not ask a proxy for the broker.
func TestRunBrokerProxy(t *testing.T) {
	need(t, "curl")
	t.Parallel()
	w := newRunWorld(t)
	upstream := newUpstream(t, testToken)
	w.set("http_proxy=http://127.0.0.1:9", "NO_PROXY=other.example")
	stdout, stderr, code := w.output(w.run("--deliver", "broker", "--upstream", upstream.URL, "--scrub", "*_SESSION_*", "--scrub", "INGRESS*", "--", "sh", "-c",
		`curl -sS -H "Authorization: Bearer $CLAUDE_CODE_SESSION_ACCESS_TOKEN" "$INGRESSAUTH_BROKER/x"; echo " $no_proxy $NO_PROXY"`))
	if code != 0 || stdout != "served /x other.example,127.0.0.1 other.example,127.0.0.1\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	// Who asks no proxy at all goes on so: for curl and others the star must stand alone.
	w.set("NO_PROXY=", "no_proxy=*")
	stdout, stderr, code = w.output(w.run("--deliver", "broker", "--upstream", upstream.URL, "--", "sh", "-c", `echo "$no_proxy $NO_PROXY"`))
	if code != 0 || stdout != "* *\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

// TestRunHidesEarly has run be hidden while it still waits for the token.
func TestRunHidesEarly(t *testing.T) {
	t.Parallel()
	cmd := unprivileged(t, `cd tmp; printf '#!/bin/sh\nstat -c %%u /proc/$PPID/environ /proc/self/environ >owners; echo sk-ant-cc-made-up' >helper; chmod 755 helper
ingressauth run --from command:./helper --deliver broker --upstream https://service.example -- cat owners`)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "0\n65534\n" {
		t.Errorf("%v: the owners are %q", err, out)
	}
}

// TestBrokerHidden has a broker alone be shown to nobody, too.
func TestBrokerHidden(t *testing.T) {
	t.Parallel()
	cmd := unprivileged(t, `cd tmp; ingressauth broker --upstream https://service.example >greeting & until [ -s greeting ]; do sleep 0.01; done
stat -c %u /proc/$!/environ; kill $!; wait $!; echo $?`)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "0\n0\n" {
		t.Errorf("%v: %q", err, out)
	}
}
