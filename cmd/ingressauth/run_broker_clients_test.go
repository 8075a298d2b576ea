//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
)

func init() { testPrograms["transporter"] = transporter }

// brokerClient is a program that has a phantom.
type brokerClient struct {
	*runWorld
	token    string // that it does not have
	upstream *brokerUpstream
	dir      string // that it is started in
	// while is called, if it is there, when the program's last request waits, with the number
	// of the process that has the token.
	while func(supervisor int)
}

// newBrokerClient has the token begin with this, and go on at random, so that it is found
// nowhere by chance.
func newBrokerClient(t testing.TB, prefix string, secure bool) *brokerClient {
	t.Helper()
	c := &brokerClient{runWorld: newRunWorld(t), token: prefix + "made-up-" + rand.Text(), dir: t.TempDir()}
	c.upstream = newBrokerUpstream(t, c.token, secure)
	c.set("CLAUDE_CODE_SESSION_ACCESS_TOKEN="+c.token, "CLAUDE_CODE_ORGANIZATION_UUID="+testOrganization)
	return c
}

// runScript runs a shell's script that has the broker's URL in $SERVICE, and whose last request
// is to /hold. Meanwhile the token is looked for in all that the script has started.
func (c *brokerClient) runScript(script string, args ...string) (stdout string) {
	c.t.Helper()
	c.set(c.upstream.start())
	args = append([]string{"--deliver", "broker", "--upstream", c.upstream.URL, "--url-env", "SERVICE"}, args...)
	cmd := c.run(append(args, "--", "sh", "-ec", script)...)
	cmd.Dir = c.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case <-c.upstream.held:
		c.look(cmd.Process.Pid)
		c.upstream.release()
		err = <-ended
	case err = <-ended:
		c.t.Error("it ended without a request to wait for")
	case <-time.After(time.Minute):
		cmd.Process.Signal(syscall.SIGTERM)
		err = <-ended
		c.t.Error("it has come to no request to wait for")
	}
	if err != nil || errs.Len() > 0 {
		c.t.Errorf("%v: %s", err, &errs)
	}
	if strings.Contains(out.String(), c.token) {
		c.t.Error("it has printed the token")
	}
	return out.String()
}

// isThere reports whether a process has not ended.
func isThere(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(text, []byte(") Z "))
}

// look looks for the token in all processes below a run, which is two processes itself.
func (c *brokerClient) look(run int) {
	c.t.Helper()
	pids := below(c.t, run)
	if len(pids) < 2 {
		c.t.Fatal("nothing runs")
	}
	supervisor := pids[0]
	found := make(places)
	for _, pid := range below(c.t, supervisor) {
		err := found.search(pid, c.token, phantomMark)
		// It may become another program, which takes a moment.
		for deadline := time.Now().Add(10 * time.Second); err != nil && isThere(pid) && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			err = found.search(pid, c.token, phantomMark)
		}
		if err != nil && isThere(pid) {
			c.t.Error(err)
		}
	}
	if where := found[c.token]; len(where) > 0 {
		c.t.Errorf("the token is in %q", where)
	}
	// What is not found might not be looked for.
	for _, place := range []string{"environ", "memory [stack]"} {
		if !slices.ContainsFunc(found[phantomMark], func(s string) bool { return strings.HasSuffix(s, ": "+place) }) {
			c.t.Errorf("the phantom is not in any %s: %q", place, found[phantomMark])
		}
	}
	if c.while != nil {
		c.while(supervisor)
	}
}

// bearer has curl send the phantom.
const bearer = ` -H "Authorization: Bearer $CLAUDE_CODE_SESSION_ACCESS_TOKEN" `

// transporter sends requests by a Transport that knows nothing of a broker.
func transporter() int {
	service := os.Getenv("SERVICE")
	client := &http.Client{Transport: &ingressauth.Transport{Origins: []string{service}}}
	text := strings.Repeat("x", 100<<10)
	for _, body := range []io.Reader{strings.NewReader(text), struct{ io.Reader }{strings.NewReader(text)}} { // with a length, and without
		response, err := client.Post(service+"/echo", "text/plain", body)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		b, err := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.Status, string(b) == text, err)
	}
	response, err := client.Get(service + "/hold")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer response.Body.Close()
	io.Copy(os.Stdout, response.Body)
	return 0
}

const (
	nodeFetch = `
const service = process.env.SERVICE, headers = { authorization: "Bearer " + process.env.CLAUDE_CODE_SESSION_ACCESS_TOKEN };
(async () => {
  const body = "x".repeat(100000);
  for (const options of [{ body }, { body: new Blob([body]).stream(), duplex: "half" }]) {
    const echoed = await fetch(service + "/echo", { method: "POST", headers, ...options });
    console.log(echoed.status, await echoed.text() === body);
  }
  process.stdout.write(await (await fetch(service + "/hold", { headers })).text());
})();`
	nodeEvents = `
const service = process.env.SERVICE, headers = { authorization: "Bearer " + process.env.CLAUDE_CODE_SESSION_ACCESS_TOKEN };
(async () => {
  const response = await fetch(service + "/events", { headers });
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const id = /^id: (.*)$/m.exec(text)[1];
      console.log("event", id);
      await fetch(service + "/acknowledge/" + id, { method: "POST", headers });
    }
  }
  process.stdout.write(await (await fetch(service + "/hold", { headers })).text());
})();`
	nodeSocket = `
const { on } = require("node:events"), WebSocket = require("ws");
const headers = { authorization: "Bearer " + process.env.CLAUDE_CODE_SESSION_ACCESS_TOKEN };
const socket = new WebSocket(process.env.SERVICE.replace("http", "ws") + "/socket", { headers });
const messages = on(socket, "message");
const next = async () => (await messages.next()).value[0].toString();
(async () => {
  for (let i = 0; i < 4; i++) socket.send(await next());
  for (const n of [1, 300, 70000, 300000]) {
    const text = "c".repeat(n);
    socket.send(text);
    console.log(n, await next() === text);
  }
  socket.send("hold");
  console.log(await next());
  socket.on("close", (code) => console.log("closed", code));
  socket.close(1000);
})();`
	pythonSocket = `
import asyncio, os, websockets
headers = {"Authorization": "Bearer " + os.environ["CLAUDE_CODE_SESSION_ACCESS_TOKEN"]}
old = int(websockets.__version__.split(".")[0]) < 14
async def main():
    async with websockets.connect(os.environ["SERVICE"].replace("http", "ws") + "/socket",
                                  **{"extra_headers" if old else "additional_headers": headers}) as socket:
        for _ in range(4):
            await socket.send(await socket.recv())
        for n in 1, 300, 70000, 300000:
            await socket.send(["c" * n, "d"])
            print(n, str(await socket.recv() == "c" * n + "d").lower())
        await (await socket.ping())
        await socket.send("hold")
        print(await socket.recv())
    print("closed", socket.close_code)
asyncio.run(main())`
)

// needSuccess skips a test where a command fails, but in CI. One that looks for a library does
// where that is not there.
func needSuccess(t testing.TB, command []string) {
	t.Helper()
	if len(command) == 0 {
		return
	}
	need(t, command[0])
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("in CI %q fails: %s", command, out)
		}
		t.Skipf("needs %q", command)
	}
}

// TestRunBrokerClients has real programs use a broker with what they take for a token. The
// upstream gets the real one, and it is nowhere in the programs.
func TestRunBrokerClients(t *testing.T) {
	const socketAnswers = "1 true\n300 true\n70000 true\n300000 true\nhold\nclosed 1000\n"
	for _, test := range []struct {
		name   string
		need   []string // that succeeds
		prefix string   // of the token, if it is no usual one
		plain  bool     // the upstream has no TLS
		args   []string // {dir} is a directory
		script string
		want   string
	}{
		{name: "curl", need: []string{"curl", "--version"},
			script: `echo posted | curl -fsS` + bearer + `--data-binary @- "$SERVICE/echo"; curl -fsS` + bearer + `"$SERVICE/a" "$SERVICE/hold"`,
			want:   "posted\nhello by HTTP/2.0\nhello by HTTP/2.0\n"},
		{name: "curl, to plain HTTP", need: []string{"curl", "--version"}, plain: true,
			script: `curl -fsS` + bearer + `"$SERVICE/a" "$SERVICE/hold"`,
			want:   "hello by HTTP/1.1\nhello by HTTP/1.1\n"},
		{name: "curl over HTTP/2", need: []string{"curl", "--version"},
			// Two of them, since 7.88 cannot use such a connection again, with any server.
			script: `for path in a hold; do curl -fsS --http2-prior-knowledge -w '%{http_version}\n'` + bearer + `"$SERVICE/$path"; done`,
			want:   "hello by HTTP/2.0\n2\nhello by HTTP/2.0\n2\n"},
		{name: "curl over a socket", need: []string{"curl", "--version"}, args: []string{"--listen", "unix:{dir}/made/socket"},
			script: `curl -fsS --unix-socket "${SERVICE#unix:}" http://localhost/a http://localhost/hold`,
			want:   "hello by HTTP/2.0\nhello by HTTP/2.0\n"},
		{name: "curl by our headers", need: []string{"curl", "--version"},
			script: `ingressauth headers | curl -fsS -H @- "$SERVICE/a" "$SERVICE/hold"`,
			want:   "hello by HTTP/2.0\nhello by HTTP/2.0\n"},
		{name: "curl with a session key", need: []string{"curl", "--version"}, prefix: "sk-ant-sid01-",
			script: `
				case $CLAUDE_CODE_SESSION_ACCESS_TOKEN in sk-ant-sid*) ;; *) exit 9 ;; esac
				ingressauth headers -o curl | curl -fsS -K - "$SERVICE/a" "$SERVICE/hold"`,
			want: "hello by HTTP/2.0\nhello by HTTP/2.0\n"},
		{name: "curl that is told the token", need: []string{"curl", "--version"}, args: []string{"--scrub-bodies"},
			script: `curl -fsSi` + bearer + `"$SERVICE/hold/leak" | tr -d '\r' | grep -v '^Date: '`,
			want: "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=utf-8\nSet-Cookie: other=1\nTrailer: X-End\nX-Got: Bearer [masked]\n" +
				"Transfer-Encoding: chunked\n\nthe token is [masked].\nX-End: [masked]\n"},
		{name: "fetch of Node", need: []string{"node", "--version"},
			script: `exec node -e '` + nodeFetch + `'`, want: "200 true\n200 true\nhello by HTTP/2.0\n"},
		{name: "events to Node", need: []string{"node", "--version"},
			script: `exec node -e '` + nodeEvents + `'`, want: "event 0\nevent 1\nevent 2\nhello by HTTP/2.0\n"},
		{name: "events to Node, from plain HTTP", need: []string{"node", "--version"}, plain: true,
			script: `exec node -e '` + nodeEvents + `'`, want: "event 0\nevent 1\nevent 2\nhello by HTTP/1.1\n"},
		{name: "ws of Node", need: []string{"node", "-e", `require("ws")`},
			script: `exec node -e '` + nodeSocket + `'`, want: socketAnswers},
		{name: "websockets of Python", need: []string{"/usr/bin/python3", "-c", "import websockets"},
			script: `exec /usr/bin/python3 -c '` + pythonSocket + `'`, want: socketAnswers},
		{name: "Transport", script: `exec "$TRANSPORTER"`,
			want: "200 OK true <nil>\n200 OK true <nil>\nhello by HTTP/2.0\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			needSuccess(t, test.need)
			c := newBrokerClient(t, test.prefix, !test.plain)
			c.set("TRANSPORTER=" + c.program("transporter"))
			var args []string
			for _, a := range test.args {
				args = append(args, strings.ReplaceAll(a, "{dir}", c.runtime))
			}
			if got := c.runScript(test.script, args...); got != test.want {
				t.Errorf("it has printed %q, want %q", got, test.want)
			}
		})
	}
}

// gitHistory is what git fast-import makes two branches of, the second after the first.
const gitHistory = `commit refs/heads/first
committer A <a@service.example> 0 +0000
data 5
first
M 644 inline file
data 6
first

commit refs/heads/second
committer A <a@service.example> 1 +0000
data 6
second
from refs/heads/first
M 644 inline file
data 7
second
`

// TestRunBrokerGit has git clone and fetch from git's own server.
func TestRunBrokerGit(t *testing.T) {
	need(t, "git")
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	version, err := exec.Command(git, "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(version), "git version %d.%d", &major, &minor); err != nil {
		t.Fatalf("%q: %v", version, err)
	}
	for name, config := range map[string]string{
		"a field":             `http.extraHeader GIT_CONFIG_VALUE_0="Authorization: Bearer $CLAUDE_CODE_SESSION_ACCESS_TOKEN"`,
		"a credential helper": `credential.helper GIT_CONFIG_VALUE_0='!f() { test "$1" = get || exit 0; echo "capability[]=authtype"; echo authtype=Bearer; echo "credential=$CLAUDE_CODE_SESSION_ACCESS_TOKEN"; }; f'`,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "a credential helper" && (major < 2 || major == 2 && minor < 46) {
				t.Skipf("git %d.%d sends what a helper has by Basic alone; Bearer came with 2.46", major, minor)
			}
			t.Parallel()
			c := newBrokerClient(t, "", true)
			c.set("GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0")
			repositories := t.TempDir()
			for _, args := range [][]string{{"init", "-q", "--bare"}, {"fast-import", "--quiet"}} {
				cmd := exec.Command(git, args...)
				cmd.Dir, cmd.Env, cmd.Stdin = repositories, c.environ, strings.NewReader(gitHistory)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			c.upstream.Handle("/git/", &cgi.Handler{Path: git, Args: []string{"http-backend"}, Root: "/git",
				Env: []string{"GIT_PROJECT_ROOT=" + repositories, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}})
			got := c.runScript(`
				export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=` + config + `
				git clone -q --single-branch -b first "$SERVICE/git/" clone
				cd clone
				git show HEAD:file
				git fetch -q "$SERVICE/hold/git/" second
				git show FETCH_HEAD:file`)
			if got != "first\nsecond\n" {
				t.Errorf("it has printed %q", got)
			}
		})
	}
}
