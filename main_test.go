//go:build linux || darwin || freebsd

package ingressauth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ingressauth/ingressauth"
	"go.uber.org/goleak"
)

// helperVariable makes another program of the test binary: one that prints the
// token that it finds by the profile in this variable.
const helperVariable = "INGRESSAUTH_TEST_HELPER"

func TestMain(m *testing.M) {
	if profile := os.Getenv(helperVariable); profile != "" {
		os.Exit(help(profile))
	}
	goleak.VerifyTestMain(m)
}

// helperExplains makes it print a helperAnswer, as JSON, instead.
const helperExplains = "INGRESSAUTH_TEST_HELPER_EXPLAINS"

type helperAnswer struct {
	Text          string
	Report        ingressauth.Report
	Before, After []string // what descriptors were open; see openDescriptors
}

func help(profile string) int {
	var r ingressauth.Resolver
	if err := json.Unmarshal([]byte(profile), &r.Profile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	answer := helperAnswer{Before: openDescriptors()}
	token, err := r.Token(context.Background())
	if os.Getenv(helperExplains) != "" {
		answer.Text, answer.Report, answer.After = token.Reveal(), r.Explain(context.Background()), openDescriptors()
		json.NewEncoder(os.Stdout).Encode(answer)
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print(token.Reveal())
	return 0
}

// helper returns a command that prints the token that a process with these
// variables finds.
func helper(t testing.TB, p ingressauth.Profile, variables ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0", helperVariable+"="+string(profile)), variables...)
	return cmd
}

// copyOfTestBinary is a copy that every user can run.
func copyOfTestBinary(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "ingressauth-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "test")
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
