package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if program := os.Getenv(testProgram); program != "" {
		os.Exit(testPrograms[program]())
	}
	testscript.Main(cleaned{m}, map[string]func(){"ingressauth": main})
}

// cleaned is a run of all tests, after which what they have built is removed.
type cleaned struct{ *testing.M }

func (c cleaned) Run() int {
	defer func() { os.RemoveAll(built.dir) }() // which is not known yet
	return c.M.Run()
}

// built is the command, built once for all tests that need a program of its own.
var built struct {
	sync.Once
	dir string
	err error
}

var buildFlags []string

// commandDir returns a directory that has the command, and can be read by every user.
func commandDir(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "ingressauth-test-"); built.err != nil {
			return
		}
		args := append([]string{"build", "-o", built.dir}, buildFlags...)
		out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("go build: %w: %s", err, out)
		}
		built.err = errors.Join(err, os.Chmod(built.dir, 0o755))
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// testProgram is a variable that makes another program of the test binary.
const testProgram = "INGRESSAUTH_TEST_PROGRAM"

var testPrograms = map[string]func() int{}

// TestScripts runs the user stories in testdata/script with the real main. They
// find a server that answers with the request's headers at $SERVER.
func TestScripts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("User-Agent")
		r.Header.Del("Accept")
		r.Header.Write(w)
	}))
	t.Cleanup(server.Close) // the scripts run in parallel, after this function
	mint := newMint(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SERVER", server.URL)
			env.Setenv("GORACE", "atexit_sleep_ms=0")               // or every command waits a second
			env.Setenv("TOKEN", "CLAUDE_CODE_SESSION_ACCESS_TOKEN") // the names, to save room
			env.Setenv("FD", "CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR")
			env.Setenv("FILE", "CLAUDE_SESSION_INGRESS_TOKEN_FILE")
			// Nothing may come from this machine's own session, or go there.
			profile, err := json.Marshal(map[string]string{"file": filepath.Join(env.WorkDir, "remote", "token")})
			if err != nil {
				return err
			}
			if err := mint.setup(env); err != nil {
				return err
			}
			env.Setenv("PROFILE", filepath.Join(env.WorkDir, "profile.json"))
			return os.WriteFile(filepath.Join(env.WorkDir, "profile.json"), profile, 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": wantStatus,
			"need":   needProgram,
		},
	})
}

// needProgram fails in CI where a program is missing. A line like
// "[!exec:curl] skip 'needs curl'" follows it for other machines.
func needProgram(ts *testscript.TestScript, neg bool, args []string) {
	for _, program := range args {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "true" {
			ts.Fatalf("CI has no %s", program)
		}
	}
}

// wantStatus runs a command and checks its exit code: "status 3 ingressauth token".
func wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// TestDependencies holds the command to the modules that ARCHITECTURE.md has
// reasons for, and away from cobra's documentation package, which is slow to start.
func TestDependencies(t *testing.T) {
	for _, system := range []string{"linux", "darwin", "freebsd", "windows"} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}} {{.ImportPath}}", ".")
		cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		allowed := []string{
			"github.com/ingressauth/ingressauth",
			"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/inconshreveable/mousetrap",
			"github.com/cenkalti/backoff/v5", "golang.org/x/sync", "golang.org/x/sys", "golang.org/x/term", "golang.org/x/time",
		}
		for line := range strings.Lines(string(out)) {
			module, pkg, _ := strings.Cut(strings.TrimSpace(line), " ")
			if pkg == "" { // of the standard library
				continue
			}
			if !slices.Contains(allowed, module) || strings.HasPrefix(pkg, "github.com/spf13/cobra/") {
				t.Errorf("%s: %s of %s is not on the list", system, pkg, module)
			}
		}
	}
}
