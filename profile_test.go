package ingressauth_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth"
)

func TestDefaultProfile(t *testing.T) {
	want := ingressauth.Profile{
		TokenVariable:        "CLAUDE_CODE_SESSION_ACCESS_TOKEN",
		DescriptorVariable:   "CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR",
		FileVariable:         "CLAUDE_SESSION_INGRESS_TOKEN_FILE",
		File:                 "/home/claude/.claude/remote/.session_ingress_token",
		RemoteVariable:       "CLAUDE_CODE_REMOTE",
		OrganizationVariable: "CLAUDE_CODE_ORGANIZATION_UUID",
	}
	if got := (ingressauth.Profile{}).WithDefaults(); got != want {
		t.Errorf("%+v", got)
	}
	t.Setenv(want.TokenVariable, "in variable")
	wantToken(t, &ingressauth.Default, "in variable")
	// A profile that names one thing keeps the defaults for the rest.
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("in file"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(want.FileVariable, path)
	wantToken(t, &ingressauth.Resolver{Profile: ingressauth.Profile{TokenVariable: "OTHER"}}, "in file")
}

func TestLoadProfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "profile.json")
	for _, tt := range []struct{ text, err string }{
		{`{"token_variable":"T","file":"/f"}` + "\n", ""},
		{`{}`, ""},
		{``, "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`null`, "not a JSON object"},
		{`{"token_variable":1}`, "token_variable: not a string"},
		{`{"token_variable":null}`, "token_variable: not a string"},
		{`{"token_var":"T"}`, "none of token_variable, descriptor_variable"},
		{`{"TOKEN_VARIABLE":"T"}`, "none of token_variable"},
		{`{"token_variable":"T","token_variable":"U"}`, "a member twice"},
		{`{"` + secret + `":"T"}`, "none of token_variable"},
		{`{"token_variable":"T"`, "not JSON"},
		{`{} {}`, "more than one JSON value"},
		{`{"token_variable":"A=B"}`, "token_variable: that cannot be the name of a variable"},
		{`{"file_variable":"a\u0000"}`, "cannot be the name of a variable"},
		{`{"token_variable":"` + secret + `=="}`, "cannot be the name of a variable"},
		{`{"token_variable":"3A"}`, "cannot be the name of a variable"},
		{`{"file_variable":"T","token_variable":"T"}`, "token_variable and file_variable name the same variable"},
		{`{"token_variable":"CLAUDE_CODE_REMOTE"}`, "token_variable and remote_variable name the same variable"},
		{`{"file":"relative"}`, "file: relative is not an absolute path"},
		{`{"file":"sk-ant-sid01-` + secret + `"}`, "file: (hidden: it looks like a token) is not an absolute path"},
		{`{"file":"` + secret + `"}`, "file: (hidden: it looks like a token) is not an absolute path"},
		{`sk-ant-sid01-` + secret, "not a JSON object"},
		{strings.Repeat(" ", 64<<10) + "{}", "longer than 65536 bytes"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := ingressauth.LoadProfile(path)
		switch {
		case tt.err == "":
			if err != nil {
				t.Errorf("%s: %v", tt.text, err)
			}
		case err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), path) || p != ingressauth.Profile{}:
			t.Errorf("%.60s: %v; want an error with %q", tt.text, err, tt.err)
		case strings.Contains(err.Error(), secret):
			t.Errorf("the error shows a token: %v", err)
		}
	}
	if _, err := ingressauth.LoadProfile(path + ".missing"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("missing: %v", err)
	}
	if _, err := ingressauth.LoadProfile(secret); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), secret) {
		t.Errorf("a token in place of a path: %v", err)
	}
}
