package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/broker"
	"github.com/spf13/pflag"
)

// TestReadmeTables holds the README's tables of commands and of a profile's members
// to the code.
func TestReadmeTables(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{commandTable(), profileTable()} {
		if !strings.Contains(string(readme), table) {
			t.Errorf("README.md lacks this table, to the letter:\n%s", table)
		}
	}
	wantWords(t, string(readme), "| member | in | is |\n", slices.Concat(members[event](), []string{eventGeneration, eventStart, eventDelivery, eventFailure, eventExit}))
	wantWords(t, string(readme), "| member | is |\n", slices.Concat(members[sourceFile](), []string{subjectSession, subjectIssued}))
	var reasons []string
	for _, r := range []broker.Reason{
		broker.Malformed, broker.NoPhantom, broker.InvalidPhantom, broker.ForeignCredential, broker.NotInTree, broker.WrongOrigin, broker.NoRoute,
		broker.TooLarge, broker.WrongHost, broker.UpstreamFailed, broker.Unscrubbable, broker.NoToken, broker.UpstreamSlow,
	} {
		reasons = append(reasons, string(r))
	}
	wantWords(t, string(readme), "| status | word | why |\n", reasons)
	for _, name := range []string{runStatusVariable, brokerVariable} {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md says nothing of %s", name)
		}
	}
}

// members returns the names of a struct's members in JSON.
func members[T any]() (names []string) {
	for f := range reflect.TypeFor[T]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// wantWords wants each of these in the table that begins so.
func wantWords(t *testing.T, readme, begin string, words []string) {
	t.Helper()
	_, rest, ok := strings.Cut(readme, begin)
	table, _, _ := strings.Cut(rest, "\n\n")
	for _, word := range words {
		if !ok || !strings.Contains(table, "`"+word+"`") {
			t.Errorf("README.md says nothing of %s in the table %q", word, begin)
		}
	}
}

// TestReadmeGo holds the README's Go to the examples, which are compiled and run:
// each of its programs is in them, line by line.
func TestReadmeGo(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples []byte
	for _, dir := range []string{".", "broker", "control", "launch", "refresh", "verify", "verify/verifygrpc", "verify/verifytest", "internal/interop"} {
		b, err := os.ReadFile("../../" + dir + "/example_test.go")
		if err != nil {
			t.Fatal(err)
		}
		examples = append(examples, b...)
	}
	unindented := func(s string) string {
		var lines []string
		for line := range strings.Lines(s) {
			lines = append(lines, strings.TrimSpace(line))
		}
		return strings.Join(lines, "\n")
	}
	programs := strings.Split(string(readme), "```go\n")[1:]
	for _, rest := range programs {
		program, _, _ := strings.Cut(rest, "```\n")
		if !strings.Contains(unindented(string(examples)), unindented(program)) {
			t.Errorf("no example_test.go has this program of README.md:\n%s", program)
		}
	}
	if len(programs) == 0 {
		t.Error("README.md has no Go")
	}
}

// TestReadmePrograms runs the README's programs in other languages, against a
// server that answers with the Authorization field that it got.
func TestReadmePrograms(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	dir := commandDir(t)
	for _, tt := range []struct {
		language, interpreter, flag string
		requests                    int
	}{
		{"sh", "sh", "-c", 2}, {"python", "python3", "-c", 1}, {"js", "node", "-e", 1},
	} {
		t.Run(tt.language, func(t *testing.T) {
			interpreter, err := exec.LookPath(tt.interpreter)
			if _, noCurl := exec.LookPath("curl"); os.Getenv("CI") != "true" && (err != nil || noCurl != nil && tt.language == "sh") {
				t.Skip("needs " + tt.interpreter + ", and curl for sh")
			}
			fence := "```" + tt.language + "\n"
			_, rest, _ := strings.Cut(string(readme), "<!-- tested -->\n"+fence)
			program, _, ok := strings.Cut(rest, "```\n")
			if !ok {
				t.Fatalf("README.md has no program in %s that is marked as tested", tt.language)
			}
			cmd := exec.Command(interpreter, tt.flag, program)
			cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"),
				"SERVICE="+server.URL, "CLAUDE_CODE_SESSION_ACCESS_TOKEN=made-up")
			out, err := cmd.CombinedOutput()
			if n := strings.Count(string(out), "Bearer made-up"); err != nil || n != tt.requests {
				t.Errorf("%v: %d requests, of %d: %s", err, n, tt.requests, out)
			}
		})
	}
}

func commandTable() string {
	root := newRoot()
	root.InitDefaultCompletionCmd()
	var b strings.Builder
	b.WriteString("| command | does | flags |\n| --- | --- | --- |\n")
	for _, cmd := range root.Commands() {
		if !cmd.IsAvailableCommand() {
			continue
		}
		var flags []string
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(f)
			flags = append(flags, strings.TrimSpace("`--"+f.Name+" "+strings.ToUpper(value))+"`")
		})
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", cmd.Name(), cmd.Short, strings.Join(flags, " "))
	}
	return b.String()
}

func profileTable() string {
	var b strings.Builder
	b.WriteString("| member | default |\n| --- | --- |\n")
	p := reflect.ValueOf(ingressauth.Profile{}.WithDefaults())
	for i := range p.NumField() {
		member, _, _ := strings.Cut(p.Type().Field(i).Tag.Get("json"), ",")
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", member, p.Field(i))
	}
	return b.String()
}

// TestReadmeWrapper runs the README's wrapper as a runner would: a stand-in, since no
// real one is at hand. It keeps standard input, descriptor 3, arguments and the exit
// code for the agent, and lets only good tokens with a human creator through.
func TestReadmeWrapper(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("needs sh")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "<!-- wrapper -->\n```sh\n")
	script, _, ok := strings.Cut(rest, "```\n")
	const flag = "--environment ccpool_0123456789"
	if !ok || strings.Count(script, "\n") != 3 || !strings.Contains(script, flag) {
		t.Fatalf("README.md has no wrapper of three lines: %q", script)
	}
	mint := newMint(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrapper := write("wrapper", strings.Replace(script, flag, "--environment "+testEnvironment+" --jwks "+mint.plain.URL+"/jwks.json", 1))
	agent := write("agent", "#!/bin/sh\nprintf '<%s>' \"$@\"\ncat\necho active >&3\nexit 7\n")
	for _, tt := range []struct {
		name, token string
		starts      bool
	}{
		{"a human's", mint.tokens["SESSION"], true},
		{"an agent's", mint.tokens["AGENT"], false},
		{"another role's", mint.tokens["RUNNER"], false},
		{"expired", mint.tokens["EXPIRED"], false},
		{"forged", mint.tokens["FORGED"], false},
		{"another issuer's", mint.tokens["OTHER"], false},
		{"none", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := exec.Command(wrapper, "--flag", "two words", "")
			cmd.Env = append(os.Environ(), "PATH="+commandDir(t)+string(os.PathListSeparator)+os.Getenv("PATH"),
				"CLAUDE_RUNNER_CLAUDE_BIN="+agent, "CLAUDE_CODE_SESSION_ACCESS_TOKEN="+tt.token,
				"CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR=", "CLAUDE_SESSION_INGRESS_TOKEN_FILE=")
			cmd.Stdin = strings.NewReader("a line\n")
			cmd.ExtraFiles = []*os.File{w}
			out, err := cmd.Output()
			w.Close()
			activity, _ := io.ReadAll(r)
			exit, _ := errors.AsType[*exec.ExitError](err)
			switch {
			case exit == nil:
				t.Errorf("%v, and no exit code", err)
			case tt.starts:
				if string(out) != "<--flag><two words><>a line\n" || string(activity) != "active\n" || exit.ExitCode() != 7 {
					t.Errorf("exit code %d, %q on standard output, %q on descriptor 3: %s", exit.ExitCode(), out, activity, exit.Stderr)
				}
			case len(out) > 0 || len(activity) > 0 || exit.ExitCode() != 1:
				t.Errorf("exit code %d, and it started the agent: %q", exit.ExitCode(), out)
			}
		})
	}
}
