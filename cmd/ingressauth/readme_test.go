package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth"
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
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	for _, tt := range []struct{ language, interpreter, flag string }{
		{"sh", "sh", "-c"}, {"python", "python3", "-c"}, {"js", "node", "-e"},
	} {
		t.Run(tt.language, func(t *testing.T) {
			interpreter, err := exec.LookPath(tt.interpreter)
			if err != nil && os.Getenv("CI") != "true" {
				t.Skip("needs " + tt.interpreter)
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
			if err != nil || !strings.Contains(string(out), "Bearer made-up") {
				t.Errorf("%v: %s", err, out)
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
