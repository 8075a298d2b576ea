//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestRunnerStandIn has a stand-in for a runner drive run through its wrappers, as the
// vendor documents what a wrapper gets: the first token in the environment, the path of a
// file that the runner keeps fresh, the agent's program in a variable and its arguments;
// rotations on standard input; descriptor 3 to report activity on. It has eight hours pass,
// with a rotation every five minutes, of which each takes 25 milliseconds here, or as long as
// the agent takes to use the token before it. No real runner was at hand.
func TestRunnerStandIn(t *testing.T) {
	const rotations = 8 * 60 / 5
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "<!-- launcher -->\n```sh\n")
	ofReadme, _, ok := strings.Cut(rest, "```\n")
	if !ok || !strings.Contains(ofReadme, "run --exec") {
		t.Fatalf("README.md has no wrapper that calls run --exec: %q", ofReadme)
	}
	for name, wrapper := range map[string]string{
		"README": ofReadme,
		"between": `#!/bin/sh
exec ingressauth run --from control --deliver env,file --scrub 'AWS_*' -- "$CLAUDE_RUNNER_CLAUDE_BIN" "$@"
`,
		"by file alone": `#!/bin/sh
exec ingressauth run --from file --scrub 'AWS_*' -- "$CLAUDE_RUNNER_CLAUDE_BIN" "$@"
`,
		"by descriptor": `#!/bin/sh
exec ingressauth run --from control --deliver fd --scrub 'AWS_*' -- "$CLAUDE_RUNNER_CLAUDE_BIN" "$@"
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRunWorld(t)
			dir := t.TempDir()
			file, path := filepath.Join(dir, "token"), filepath.Join(dir, "wrapper")
			if err := os.WriteFile(path, []byte(wrapper), 0o700); err != nil {
				t.Fatal(err)
			}
			token := func(i int) string { return fmt.Sprintf("%s-%d", testToken, i) }
			replace(t, file, token(0))

			// A service that accepts the newest two generations, and now and then the newest
			// alone, as one that takes the others back.
			var oldest, used, took, requests, refused atomic.Int64
			service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				var i int64
				fmt.Sscanf(r.Header.Get("Authorization"), "Bearer "+testToken+"-%d", &i)
				if i < oldest.Load() {
					refused.Add(1)
					rw.Header().Set("WWW-Authenticate", "Bearer")
					rw.WriteHeader(http.StatusUnauthorized)
					return
				}
				used.Store(i)
			}))
			defer service.Close()

			activity, activityIn, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer activity.Close()
			w.set("CLAUDE_SESSION_INGRESS_TOKEN_FILE="+file, "CLAUDE_CODE_SESSION_ACCESS_TOKEN="+token(0),
				"SERVICE="+service.URL, "AWS_SECRET=s")
			w.set("CLAUDE_RUNNER_CLAUDE_BIN=" + w.program("agent"))
			// By its interpreter, since a file that was just written may still be open in a
			// process that is being started.
			cmd := exec.Command("/bin/sh", path, "--flag", "two words", "")
			cmd.Env, cmd.ExtraFiles = w.environ, []*os.File{activityIn}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var errs bytes.Buffer
			cmd.Stderr = &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			activityIn.Close()
			var got []string
			read := make(chan struct{})
			go func() {
				defer close(read)
				for lines := bufio.NewScanner(out); lines.Scan(); {
					got = append(got, lines.Text())
					took.Add(1)
				}
			}()
			reports := make(chan int)
			go func() {
				b, _ := io.ReadAll(activity)
				reports <- bytes.Count(b, []byte("active\n"))
			}()

			reach := func(what string, n *atomic.Int64, least int64) {
				for deadline := time.Now().Add(20 * time.Second); n.Load() < least; time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%s: %d of %d", what, n.Load(), least)
					}
				}
			}
			for i := 1; i <= rotations; i++ {
				oldest.Store(int64(i - 1))
				if i%10 == 0 { // what the agent has is taken back before it gets the next
					before := refused.Load()
					oldest.Store(int64(i))
					reach("requests that were refused", &refused, before+1)
				}
				replace(t, file, token(i))
				fmt.Fprintf(in, `{"type":"update_environment_variables","variables":{"CLAUDE_CODE_SESSION_ACCESS_TOKEN":"%s"}}`+"\nline %d\n", token(i), i)
				time.Sleep(25 * time.Millisecond)
				// It comes by more than one way: the agent has it by all of them, and goes on with it.
				reach("the newest rotation that the agent has used", &used, int64(i))
				reach("lines that the agent took", &took, int64(i))
				eventually(t, "the file that run keeps, if it does, has it", func() bool {
					files, _ := filepath.Glob(filepath.Join(w.runtime, "ingressauth", "session-*", "token"))
					return !slices.ContainsFunc(files, func(path string) bool {
						text, _ := os.ReadFile(path)
						return string(text) != token(i)
					})
				})
				reach("requests since then", &requests, requests.Load()+2)
			}
			fmt.Fprintln(in, "stop 7")
			<-read
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 7 {
				t.Errorf("exit code %d", code)
			}
			if errs.String() != "the agent's last line\n" {
				t.Errorf("standard error: %q", errs.String())
			}
			want := []string{}
			for i := 1; i <= rotations; i++ {
				want = append(want, fmt.Sprintf("took: line %d", i))
			}
			want = append(want, `refused 0, arguments ["--flag" "two words" ""]`)
			if !slices.Equal(got, want) {
				t.Errorf("standard output: %q, want %q", got, want)
			}
			// A request that was refused, since its token was taken back, was sent once more, and
			// accepted: the agent had none refused.
			if n := <-reports; n == 0 || int64(n) > requests.Load() {
				t.Errorf("%d reports of activity for %d requests", n, requests.Load())
			}
			if left := w.left(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != token(rotations) {
				t.Errorf("the runner's file: %q %v", text, err)
			}
		})
	}
}
