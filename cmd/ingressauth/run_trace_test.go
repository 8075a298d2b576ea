//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	traced  = regexp.MustCompile(`^(?:\d+ +)?(\w+)\((.*)`)
	written = regexp.MustCompile(`^\d+<([^>]*)>`)
	opened  = regexp.MustCompile(`"([^"]*)", ([A-Z_|]+)(?:, (0\d+))?`)
)

// TestRunTrace looks at the system calls of a run with every delivery and a rotation: no
// token is in an argument or a path, and none is written but to a pipe, to memory, or to a
// file that was made for nobody else, in a directory that was made for nobody else.
func TestRunTrace(t *testing.T) {
	need(t, "strace")
	for _, from := range []string{"file", "control"} {
		t.Run(from, func(t *testing.T) {
			w := newRunWorld(t)
			dir := t.TempDir()
			file, trace := filepath.Join(dir, "token"), filepath.Join(dir, "trace")
			if err := os.WriteFile(file, []byte(testToken), 0o600); err != nil {
				t.Fatal(err)
			}
			w.set("CLAUDE_SESSION_INGRESS_TOKEN_FILE=" + file)
			events := filepath.Join(dir, "events")
			run := w.run("--from", from, "--deliver", "env,fd,file", "--events", events, "--", "cat")
			cmd := exec.Command("strace", append([]string{"-f", "-y", "-s", "10000", "-o", trace, "-e",
				"trace=execve,execveat,open,openat,creat,mkdir,mkdirat,chmod,fchmod,fchmodat,write,pwrite64,writev,pwritev,sendto,sendmsg,rename,renameat,renameat2,link,linkat,symlink,symlinkat,memfd_create"},
				run.Args...)...)
			cmd.Args[len(cmd.Args)-len(run.Args)] = run.Path
			cmd.Env = w.environ
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = nil
			// Whatever the caller's umask is.
			old := unix.Umask(0)
			err = cmd.Start()
			unix.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "the command starts", func() bool { return len(w.left()) > 0 })
			time.Sleep(100 * time.Millisecond)
			second := testToken + "-2"
			if from == "file" {
				replace(t, file, second)
			} else {
				fmt.Fprintf(in, `{"type":"update_environment_variables","variables":{"CLAUDE_CODE_SESSION_ACCESS_TOKEN":"%s"}}`+"\n", second)
			}
			eventually(t, "the file is replaced", func() bool {
				files, _ := filepath.Glob(filepath.Join(w.runtime, "ingressauth", "*", "token"))
				if len(files) == 0 {
					return false
				}
				text, _ := os.ReadFile(files[0])
				return string(text) == second
			})
			eventually(t, "the message is sent", func() bool {
				text, _ := os.ReadFile(events)
				return bytes.Count(text, []byte(`"delivery":"env"`)) == 2
			})
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			checkTrace(t, w, trace)
		})
	}
}

func checkTrace(t *testing.T, w *runWorld, trace string) {
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	private := make(map[string]bool) // what was made for nobody else
	writes := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		m := traced.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		call, args := m[1], m[2]
		switch call {
		case "open", "openat", "creat":
			if o := opened.FindStringSubmatch(args); o != nil && strings.Contains(o[2], "O_CREAT") {
				// In a directory that is open, whose path strace shows.
				path := o[1]
				if d := regexp.MustCompile(`^\d+<([^>]*)>`).FindStringSubmatch(args); d != nil {
					path = filepath.Join(d[1], path)
				}
				private[path] = o[3] == "0600" && strings.Contains(o[2], "O_EXCL") && private[filepath.Dir(path)]
			}
		case "mkdir", "mkdirat":
			if d := regexp.MustCompile(`^\d+<([^>]*)>, "([^"]*)", 0700`).FindStringSubmatch(args); d != nil {
				private[filepath.Join(d[1], d[2])] = true
			}
		}
		if !strings.Contains(args, "made-up") {
			continue
		}
		to := written.FindStringSubmatch(args)
		switch {
		case to == nil || !strings.Contains(call, "write"):
			t.Errorf("a token is in a %s: %s", call, line)
		case strings.HasPrefix(to[1], "pipe:"):
			writes["pipe"]++
		case strings.HasPrefix(to[1], "/memfd:"):
			writes["memfd"]++
		case private[to[1]] && strings.HasPrefix(to[1], w.runtime):
			writes["file"]++
		case strings.HasPrefix(to[1], "/dev/null"): // the child's output
		default:
			t.Errorf("a token is written to %q, which is not private: %s", to[1], line)
		}
	}
	if writes["pipe"] == 0 || writes["memfd"] != 1 || writes["file"] != 2 {
		t.Errorf("the trace has other writes than there must be: %v", writes)
	}
}
