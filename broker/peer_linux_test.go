package broker

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// curl is a program that sends a request over a socket and prints the answer's status.
func curl(t testing.TB, l *Listener) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI has no curl")
		}
		t.Skip("needs curl")
	}
	return "curl -sS -o /dev/null -w %{http_code} --unix-socket '" + strings.TrimPrefix(l.URL(), "unix:") + "' http://localhost/"
}

func needPeers(t testing.TB) {
	t.Helper()
	if !canTellPeers() {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI has an old kernel")
		}
		t.Skip("needs Linux 6.5, which says who has connected to a Unix socket")
	}
}

// TestTree lets in what descends from the supervisor, and nobody else.
func TestTree(t *testing.T) {
	needPeers(t)
	w := newWorld(t, echo, nil)
	l, client := w.socket()
	command := curl(t, l)

	// The supervisor is a shell that does what it is told; this process is its parent, and
	// so is outside.
	shell := exec.Command("sh", "-c", `while read -r line; do eval "$line"; echo; done`)
	input, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.Stderr = os.Stderr
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		input.Close()
		shell.Wait()
	}()
	child, err := w.broker.Add(ChildConfig{Name: "tree", Supervisor: shell.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	inside := func(line string) string {
		fmt.Fprintln(input, line)
		lines.Scan()
		return lines.Text()
	}
	if got := inside(command); got != "200" {
		t.Errorf("a child: %s", got)
	}
	if got := inside("sh -c 'sh -c \"" + strings.ReplaceAll(command, "'", "") + "\"; :'"); got != "200" {
		t.Errorf("a grandchild: %s", got)
	}
	if record := w.records.last(t, 2); record.Child != "tree" {
		t.Errorf("record %+v", record)
	}
	r, _ := http.NewRequest("GET", "http://localhost/", nil)
	if response, body := do(t, client, r); reasonOf(t, response, body) != NotInTree {
		t.Errorf("a process outside: %s", response.Status)
	}
	child.Phantom().SetHeader(r.Header)
	if response, body := do(t, client, r); reasonOf(t, response, body) != NotInTree {
		t.Errorf("a process outside, with the phantom: %s", response.Status)
	}
	// It may use a port, and so may everybody.
	r, _ = http.NewRequest("GET", w.port.URL(), nil)
	child.Phantom().SetHeader(r.Header)
	if response, _ := w.do(r); response.StatusCode != 200 {
		t.Errorf("a port, with the phantom: %s", response.Status)
	}
	child.Remove()
	if got := inside(command); got != "401" { // as there is no child with a supervisor any more
		t.Errorf("after the end: %s", got)
	}
}

// TestDaemon lets in a daemon of the tree, whose own parents have ended, as this process adopts
// orphans, as supervisors do.
func TestDaemon(t *testing.T) {
	needPeers(t)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	w := newWorld(t, echo, nil)
	l, _ := w.socket()
	command := curl(t, l)
	if _, err := w.broker.Add(ChildConfig{Supervisor: os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	// The daemon waits until it was adopted.
	script := fmt.Sprintf(`( ( me=$(exec sh -c 'echo $PPID'); until [ "$(cut -d' ' -f4 /proc/$me/stat)" = %d ]; do sleep 0.01; done; `, os.Getpid()) + command + ` >` + out + `.tmp; mv ` + out + `.tmp ` + out + ` ) & ) `
	if b, err := exec.Command("setsid", "sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	var got []byte
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && got == nil; time.Sleep(5 * time.Millisecond) {
		got, _ = os.ReadFile(out)
	}
	if string(got) != "200" {
		t.Errorf("a daemon of the tree: %q", got)
	}
	for { // it was left to this process
		if _, err := unix.Wait4(-1, nil, 0, nil); err != unix.EINTR && err != nil {
			break
		}
	}
}

// TestOtherUser refuses another user's process, which cannot connect at all.
func TestOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	w := newWorld(t, echo, nil)
	l, _ := w.socket()
	command := exec.Command("sh", "-c", curl(t, l))
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	command.Dir = "/"
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "000") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRequirePhantom wants a phantom from the tree, too.
func TestRequirePhantom(t *testing.T) {
	needPeers(t)
	for _, required := range []bool{false, true} {
		w := newWorld(t, echo, func(c *Config) { c.RequirePhantom = required })
		child, err := w.broker.Add(ChildConfig{Supervisor: os.Getpid()})
		if err != nil {
			t.Fatal(err)
		}
		_, client := w.socket()
		r, _ := http.NewRequest("GET", "http://localhost/", nil)
		want := Reason("")
		if required {
			want = NoPhantom
		}
		if response, body := do(t, client, r); reasonOf(t, response, body) != want {
			t.Errorf("required %v: %s", required, response.Status)
		}
		r.Header.Set("Authorization", "Bearer mine")
		if response, body := do(t, client, r); reasonOf(t, response, body) != ForeignCredential {
			t.Errorf("required %v, with a foreign token: %s", required, response.Status)
		}
		// One child's phantom is not another's.
		w.child.Phantom().SetHeader(r.Header)
		if response, _ := do(t, client, r); response.StatusCode != 200 { // it has no supervisor, and may come from anywhere
			t.Errorf("required %v, with the phantom of a child without a supervisor: %s", required, response.Status)
		}
		child.Phantom().SetHeader(r.Header)
		if response, _ := do(t, client, r); response.StatusCode != 200 {
			t.Errorf("required %v, with the phantom: %s", required, response.Status)
		}
	}
}

// TestDeadPeer has whoever connects end, and leave the connection to others: it is nobody's.
func TestDeadPeer(t *testing.T) {
	needPeers(t)
	w := newWorld(t, echo, nil)
	child, err := w.broker.Add(ChildConfig{Supervisor: os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(shortDir(t), "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, ends := range []bool{false, true} {
		command := exec.Command("sh", "-c", "exec "+strings.ReplaceAll(curl(t, &Listener{url: "unix:" + l.Addr().String()}), "-sS", "-sS -m 20"))
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		c, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		if ends {
			command.Process.Kill()
			command.Wait()
		}
		want := child
		if ends {
			want = nil
		}
		if got := w.broker.childOf(c); got != want {
			t.Errorf("ended %v: %v", ends, got)
		}
		c.Close()
		if !ends {
			command.Wait()
		}
	}
}

// TestSupervisors are alive when a child is added.
func TestSupervisors(t *testing.T) {
	needPeers(t)
	w := newWorld(t, echo, nil)
	command := exec.Command("true")
	if err := command.Run(); err != nil {
		t.Skip(err)
	}
	if _, err := w.broker.Add(ChildConfig{Supervisor: command.Process.Pid}); err == nil {
		t.Error("a child of a process that has ended")
	}
}

// TestOldKernel requires the phantom where nothing says who has connected, and lets all in who have it.
func TestOldKernel(t *testing.T) {
	w := newWorld(t, echo, nil)
	w.broker.peers = false
	child, err := w.broker.Add(ChildConfig{Supervisor: os.Getppid()})
	if err != nil {
		t.Fatal(err)
	}
	_, client := w.socket()
	r, _ := http.NewRequest("GET", "http://localhost/", nil)
	if response, body := do(t, client, r); reasonOf(t, response, body) != NoPhantom {
		t.Errorf("without: %s", response.Status)
	}
	child.Phantom().SetHeader(r.Header)
	if response, _ := do(t, client, r); response.StatusCode != 200 {
		t.Errorf("with: %s", response.Status)
	}
}

// TestExpiryInTree has a child expire by the clock while the timer has stood still, as after a
// suspension: who is told by its process is refused, too.
func TestExpiryInTree(t *testing.T) {
	if !canTellPeers() {
		t.Skip("this kernel does not say who has connected")
	}
	w := newWorld(t, echo, nil)
	l := w.listen("unix:" + filepath.Join(t.TempDir(), "d", "s"))
	child, err := w.broker.Add(ChildConfig{Supervisor: os.Getpid(), Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(t)
	client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", strings.TrimPrefix(l.URL(), unixIntro))
	}
	for _, want := range []int{200, 401} {
		r, _ := http.NewRequest("GET", "http://localhost/", nil)
		if response, _ := do(t, client, r); response.StatusCode != want {
			t.Errorf("%s, want %d", response.Status, want)
		}
		w.records.last(t, 1)
		child.config.Expires = time.Now().Add(-time.Minute)
	}
}
