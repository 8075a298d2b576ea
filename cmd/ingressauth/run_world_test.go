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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
)

// The tests of run start the real command, built with the race detector if they are.

func init() {
	testPrograms["agent"], testPrograms["show"], testPrograms["stay"] = agent, show, stay
}

// show prints its arguments and its variables, each in quotes on a line.
func show() int {
	for _, s := range append(os.Args[1:], os.Environ()...) {
		fmt.Printf("%q\n", s)
	}
	return 0
}

// stay says which token it has, for each line of its standard input that is no message.
func stay() int {
	lines := bufio.NewScanner(&control.Reader{})
	for lines.Scan() {
		t, err := ingressauth.Default.Token(context.Background())
		fmt.Println(lines.Text(), t.Reveal(), err)
	}
	fmt.Println("end")
	return 0
}

// agent is a stand-in for what a runner starts: it sends requests to $SERVICE, tells its
// runner on descriptor 3 that it is active, and takes lines on its standard input until one
// is "stop N", which is its exit code.
func agent() int {
	stop := make(chan int, 1)
	go func() {
		lines := bufio.NewScanner(&control.Reader{})
		for lines.Scan() {
			var code int
			if n, _ := fmt.Sscanf(lines.Text(), "stop %d", &code); n == 1 {
				stop <- code
				return
			}
			fmt.Println("took:", lines.Text())
		}
		stop <- 99
	}()
	service := os.Getenv("SERVICE")
	ingressauth.Default.RenewWait = 10 * time.Second
	client := &http.Client{Transport: &ingressauth.Transport{Origins: []string{service}}}
	activity := os.NewFile(3, "activity")
	refused := 0
	for {
		select {
		case code := <-stop:
			fmt.Printf("refused %d, arguments %q\n", refused, os.Args[1:])
			fmt.Fprintln(os.Stderr, "the agent's last line")
			return code
		case <-time.After(2 * time.Millisecond):
		}
		response, err := client.Get(service)
		if err != nil {
			fmt.Println(err)
			return 98
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			refused++
		}
		if _, err := fmt.Fprintln(activity, "active"); err != nil {
			fmt.Println(err)
			return 97
		}
	}
}

// runWorld is what a test of run has.
type runWorld struct {
	t       testing.TB
	runtime string // the runtime directory
	environ []string
}

const testToken = "sk-ant-cc-made-up-token-of-a-test"

func newRunWorld(t testing.TB) *runWorld {
	t.Helper()
	bin := commandDir(t)
	w := &runWorld{t: t, runtime: t.TempDir()}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CLAUDE") && !strings.HasPrefix(v, "PATH=") {
			w.environ = append(w.environ, v)
		}
	}
	w.environ = append(w.environ, "XDG_RUNTIME_DIR="+w.runtime, "GORACE=atexit_sleep_ms=0",
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"CLAUDE_CODE_SESSION_ACCESS_TOKEN="+testToken)
	return w
}

// set sets variables that run has.
func (w *runWorld) set(variables ...string) { w.environ = append(w.environ, variables...) }

// run returns the command with these arguments. It is in the way of nobody's terminal.
func (w *runWorld) run(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(commandDir(w.t), "ingressauth"), append([]string{"run"}, args...)...)
	cmd.Env = w.environ
	return cmd
}

// withoutTerminal has a command have none, of which run would say something, and returns it.
func withoutTerminal(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// program returns the path of the test binary and has it be this program.
func (w *runWorld) program(name string) string {
	w.set(testProgram + "=" + name)
	path, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	return path
}

// output runs a command and returns its output, standard error and exit code.
func (w *runWorld) output(cmd *exec.Cmd) (stdout, stderr string, code int) {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		w.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// left returns what is in the runtime directory.
func (w *runWorld) left() []string {
	left, _ := filepath.Glob(filepath.Join(w.runtime, "ingressauth", "*"))
	return left
}

// need skips a test where a program is missing, but in CI.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("CI has no %s", p)
			}
			t.Skip("needs ", p)
		}
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// readEvents returns the lines of an event file.
func readEvents(t testing.TB, path string) (events []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("made-up")) {
		t.Errorf("the events show a token: %s", text)
	}
	for line := range strings.Lines(string(text)) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"])); err != nil {
			t.Error(err)
		}
		delete(e, "time")
		events = append(events, e)
	}
	return events
}
