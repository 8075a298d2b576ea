//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/refresh/refreshtest"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// fileWith returns the path of a file with this text.
func fileWith(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// countingHelper returns a script that prints a token, another one each time: testToken-1 and so
// on. It may be killed at any moment: it counts by a line more, since a number that is written over
// is gone for a while, and the count would begin again.
func countingHelper(t testing.TB) (script string) {
	t.Helper()
	count := filepath.Join(t.TempDir(), "count")
	return fileWith(t, "helper", fmt.Sprintf("echo >>%[1]s; echo %[2]s-$(($(wc -l <%[1]s)))\n", count, testToken))
}

// sourceFor returns the path of a file for --source.
func sourceFor(t testing.TB, members map[string]any) string {
	t.Helper()
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return fileWith(t, "source.json", string(text))
}

// eventsOf returns events of these kinds.
func eventsOf(t testing.TB, path string, kinds ...string) (events []map[string]any) {
	t.Helper()
	for _, e := range readEvents(t, path) {
		if slices.Contains(kinds, e["event"].(string)) {
			events = append(events, e)
		}
	}
	return events
}

// TestRunCommand has the token be from a command, delivered in every way.
func TestRunCommand(t *testing.T) {
	for _, deliver := range []string{"file", "env", "fd", "env,file"} {
		t.Run(deliver, func(t *testing.T) {
			t.Parallel()
			w := newRunWorld(t)
			w.set("CLAUDE_CODE_SESSION_ACCESS_TOKEN=")
			out, errs, code := w.output(w.run("--from", "command:sh "+countingHelper(t), "--deliver", deliver, "--", "ingressauth", "token"))
			if out != testToken+"-1\n" || errs != "" || code != 0 {
				t.Errorf("%q %q %d", out, errs, code)
			}
			if left := w.left(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
	t.Run("exec", func(t *testing.T) {
		t.Parallel()
		w := newRunWorld(t)
		out, errs, code := w.output(w.run("--exec", "--from", "command:sh "+countingHelper(t), "--", "ingressauth", "token"))
		if out != testToken+"-1\n" || errs != "" || code != 0 {
			t.Errorf("%q %q %d", out, errs, code)
		}
	})
	t.Run("rotates", func(t *testing.T) {
		t.Parallel()
		w := newRunWorld(t)
		events := filepath.Join(t.TempDir(), "events")
		out, errs, code := w.output(w.run("--from", "command:sh "+countingHelper(t), "--refresh", "20ms", "--events", events, "--", "sh", "-c",
			// Who is held up for an interval does not see each of them.
			`until [ "$(sed 's/.*-//' "$CLAUDE_SESSION_INGRESS_TOKEN_FILE")" -ge 20 ]; do sleep 0.001; done; echo seen`))
		if out != "seen\n" || errs != "" || code != 0 {
			t.Errorf("%q %q %d", out, errs, code)
		}
		if failures := eventsOf(t, events, eventFailure); len(failures) > 0 {
			t.Errorf("failures: %v", failures)
		}
	})
}

// TestRunCommandIsolated has the command that prints tokens get nothing of what the other
// command gets: no variable, no descriptor, no input, no argument split in two.
func TestRunCommandIsolated(t *testing.T) {
	for _, exec := range []bool{false, true} {
		t.Run(fmt.Sprintf("exec %v", exec), func(t *testing.T) { testCommandIsolated(t, exec) })
	}
}

func testCommandIsolated(t *testing.T, exec bool) {
	w := newRunWorld(t)
	seen := filepath.Join(t.TempDir(), "seen")
	script := fileWith(t, "helper", `
		{ env | sed 's/=.*//' | sort | tr '\n' ' '; echo; ls /proc/self/fd | tr '\n' ' '; echo; cat; echo "$#:$1:$2:$AWS_PROFILE"; (: </dev/tty) 2>/dev/null && echo a terminal; } >`+seen+` 2>&1
		echo made-up-token-of-a-helper; echo secretly made-up-token-of-a-helper >&2`)
	w.set("AWS_PROFILE=p", "AWS_SECRET=s")
	source := sourceFor(t, map[string]any{"command": []string{"sh", script, "two words", ""}, "inherit": []string{"AWS_PROFILE"}})
	args := []string{"--source", source, "--", "sh", "-c", `cat <&3; ingressauth token; cat`}
	if exec {
		args = append([]string{"--exec"}, args...)
	}
	cmd := w.run(args...)
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fmt.Fprintln(pipe, "of the descriptor")
	pipe.Close()
	cmd.ExtraFiles = []*os.File{r}
	cmd.Stdin = strings.NewReader("of the input\n")
	out, errs, code := w.output(cmd)
	if out != "of the descriptor\nmade-up-token-of-a-helper\nof the input\n" || errs != "" || code != 0 {
		t.Errorf("%q %q %d", out, errs, code)
	}
	text, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for name := range strings.FieldsSeq(lines[0]) {
		if !slices.Contains([]string{"PATH", "HOME", "USER", "TMPDIR", "LANG", "LC_ALL", "TZ", "AWS_PROFILE", "PWD", "SHLVL", "_", "OLDPWD"}, name) {
			t.Errorf("it has the variable %s", name)
		}
	}
	if lines[1] != "0 1 2 3 " { // 3 is that of ls
		t.Errorf("it has the descriptors %s", lines[1])
	}
	if lines[2] != "2:two words::p" || lines[3] != "" {
		t.Errorf("its input and arguments: %q", lines[2:])
	}
}

// TestRunSourceFails has the source fail while the command runs: the old token stays, and that
// is said in the events and by status below, and nowhere else.
func TestRunSourceFails(t *testing.T) {
	w := newRunWorld(t)
	dir := t.TempDir()
	events, broken := filepath.Join(dir, "events"), filepath.Join(dir, "broken")
	script := countingHelper(t)
	helper := fileWith(t, "outer", fmt.Sprintf("if [ -e %s ]; then echo no such account: sk-ant-cc-made-up-x >&2; exit 3; fi; exec sh %s\n", broken, script))
	out, errs, code := w.output(w.run("--from", "command:sh "+helper, "--refresh", "50ms", "--events", events, "--", "sh", "-c", `
		ingressauth status | grep '^run:'
		touch `+broken+`
		until ingressauth status | grep 'failed [1-9]'; do sleep 0.01; done
		ingressauth status -o json >`+dir+`/json
		cat "$INGRESSAUTH_RUN_STATUS" >`+dir+`/file
		ingressauth token >`+dir+`/token || exit 1
		rm `+broken+`
		while ingressauth status | grep 'failed'; do sleep 0.01; done >/dev/null
		exit 0`))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || errs != "" || len(lines) != 2 ||
		!strings.HasPrefix(lines[0], "run: token ") || !strings.Contains(lines[0], " of the command, bearer:") || !strings.Contains(lines[0], "; the next attempt ") ||
		!strings.HasPrefix(lines[1], "run: renewing has failed ") || !strings.HasSuffix(lines[1], ": run token command: exit status 3: no such account: [masked]") {
		t.Errorf("%q %q %d", out, errs, code)
	}
	var report struct {
		Winner string
		Run    struct {
			Source, Token, Error string
			Failures, Generation int
			Received, Next       time.Time
		}
	}
	text, err := os.ReadFile(dir + "/json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &report); err != nil || report.Winner != "file" || report.Run.Source != "command" || report.Run.Failures == 0 ||
		report.Run.Error != "run token command: exit status 3: no such account: [masked]" || !strings.HasPrefix(report.Run.Token, "bearer:") || report.Run.Received.IsZero() || report.Run.Next.IsZero() {
		t.Errorf("%v %s", err, text)
	}
	if token, _ := os.ReadFile(dir + "/token"); !strings.HasPrefix(string(token), testToken+"-") {
		t.Errorf("the token while the source fails: %q", token)
	}
	for _, name := range []string{"/json", "/file"} {
		if text, _ := os.ReadFile(dir + name); strings.Contains(string(text), "made-up") {
			t.Errorf("a token is shown: %s", text)
		}
	}
	var said []string
	for _, e := range eventsOf(t, events, eventFailure) {
		said = append(said, fmt.Sprint(e["error"]))
	}
	all := strings.Join(said, "\n")
	if !strings.HasPrefix(all, "the session token was not renewed, and serves on; error: run token command: exit status 3: no such account: [masked]; failures: 1; token: bearer:") {
		t.Errorf("failures: %s", all)
	}
	if left := w.left(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestRunSourceFailsAtFirst has nothing be started.
func TestRunSourceFailsAtFirst(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	server := refreshtest.NewEndpoint()
	defer server.Close()
	server.Fail(http.StatusUnauthorized, "invalid_client")
	secret := fileWith(t, "secret", "made-up-secret\n")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a command that fails":         {[]string{"--from", "command:false"}, "run token command: exit status 1"},
		"a command that is not there":  {[]string{"--from", "command:ingressauth-no-such-command"}, "run token command: executable file not found in $PATH"},
		"a command that says nothing":  {[]string{"--from", "command:true"}, "run token command: no session token: it printed nothing\n"},
		"a command that says why":      {[]string{"--source", sourceFor(t, map[string]any{"command": []string{"sh", "-c", "echo first >&2; echo cannot log in >&2; exit 4"}})}, "exit status 4: cannot log in\n"},
		"a token that has expired":     {[]string{"--from", "command:echo e30.eyJleHAiOjF9.x"}, "expired"},
		"a command that is too slow":   {[]string{"--source", sourceFor(t, map[string]any{"command": []string{"sleep", "60"}, "timeout": "50ms"})}, "it did not end within 50ms"},
		"an endpoint that fails":       {[]string{"--from", "endpoint:" + server.URL, "--source", sourceFor(t, map[string]any{"client_id": "c", "client_secret_file": secret})}, "ask token endpoint: invalid_client (the server does not believe the client"},
		"an endpoint without a secret": {[]string{"--from", "endpoint:" + server.URL, "--source", sourceFor(t, map[string]any{"client_id": "c", "client_secret_file": secret + ".not"})}, "client secret: client_secret_file: no such file"},
		"an endpoint without a session": {[]string{"--from", "endpoint:" + server.URL, "--source", sourceFor(t, map[string]any{"subject": "session"})},
			"the subject to exchange: no session token"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, exec := range []bool{false, true} {
				w := newRunWorld(t)
				w.set("CLAUDE_CODE_SESSION_ACCESS_TOKEN=")
				args := test.args
				if exec {
					args = append([]string{"--exec"}, args...)
				}
				out, errs, code := w.output(w.run(append(args, "--", "touch", started)...))
				if code != exitRun || out != "" || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 || strings.Contains(errs, "made-up") {
					t.Errorf("%q %q %d", out, errs, code)
				}
				if _, err := os.Stat(started); err == nil {
					t.Error("the command was started")
				}
				if left := w.left(); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
			}
		})
	}
}

// TestRunExecOnce refuses, with --exec, what needs somebody to do it.
func TestRunExecOnce(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"refresh":          {[]string{"--from", "command:echo x", "--refresh", "15m"}, 2, "--refresh"},
		"refresh, by file": {[]string{"--source", sourceFor(t, map[string]any{"command": []string{"echo", "x"}, "refresh": "15m"})}, 125, "--exec leaves nobody"},
		"revocation":       {[]string{"--source", sourceFor(t, map[string]any{"from": "endpoint:https://x.example", "subject": "session", "revocation_url": "https://x.example"})}, 125, "--exec leaves nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRunWorld(t)
			out, errs, code := w.output(w.run(append(append([]string{"--exec"}, test.args...), "--", "echo", "started")...))
			if code != test.code || out != "" || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 {
				t.Errorf("%q %q %d", out, errs, code)
			}
		})
	}
}

// TestRunFlagsFirst has the command of a flag come before that of a file.
func TestRunFlagsFirst(t *testing.T) {
	w := newRunWorld(t)
	source := sourceFor(t, map[string]any{"command": []string{"echo", "of-the-file"}, "refresh": "1h"})
	out, errs, code := w.output(w.run("--from", "command:echo of-the-flag", "--source", source, "--", "ingressauth", "token"))
	if out != "of-the-flag\n" || errs != "" || code != 0 {
		t.Errorf("%q %q %d", out, errs, code)
	}
}

// TestRunSourceByPipe has the file be what a program prints.
func TestRunSourceByPipe(t *testing.T) {
	need(t, "bash")
	w := newRunWorld(t)
	cmd := w.run("--source", "/dev/fd/3", "--", "ingressauth", "token")
	cmd.Args = append([]string{"bash", "-c", `exec "$0" "$@" 3< <(sleep 2.5; echo '{"command": ["echo", "made-up"]}')`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, _ = exec.LookPath("bash")
	out, errs, code := w.output(cmd)
	if out != "made-up\n" || errs != "" || code != 0 {
		t.Errorf("%q %q %d", out, errs, code)
	}
}

// TestRunNoRuntimeDirectory has the command start without a file for processes below, where it
// can do without.
func TestRunNoRuntimeDirectory(t *testing.T) {
	w := newRunWorld(t)
	w.set("XDG_RUNTIME_DIR=/nonexistent/runtime")
	events := filepath.Join(t.TempDir(), "events")
	out, errs, code := w.output(w.run("--from", "command:echo made-up", "--deliver", "env", "--events", events, "--", "sh", "-c", "ingressauth token; ingressauth status | grep ^run:"))
	if out != "made-up\n" || errs != "" || code != 1 {
		t.Errorf("%q %q %d", out, errs, code)
	}
	if failures := eventsOf(t, events, eventFailure); len(failures) != 1 || !strings.Contains(fmt.Sprint(failures[0]["error"]), "status for processes below") {
		t.Errorf("failures: %v", failures)
	}
}

// TestStatusOfRun has the variable name a file that no run has written.
func TestStatusOfRun(t *testing.T) {
	good := `{"source":"command","generation":2,"token":"bearer:0123abcd","received":"2026-01-01T00:00:00Z"`
	for name, test := range map[string]struct{ text, want string }{
		"a run's":          {good + "}", "run: token 2 of the command, bearer:0123abcd"},
		"one that fails":   {good + `,"failures":1,"error":"x sk-ant-cc-made-up y\u001b"}`, "run: renewing has failed once: x [masked] y\uFFFD"},
		"nothing":          {"", "it is no status of a run"},
		"null":             {"null", "it is no status of a run"},
		"an empty object":  {"{}", "it is no status of a run"},
		"a token in it":    {strings.Replace(good, "bearer:0123abcd", "sk-ant-sid01-made-up", 1) + "}", "it is no status of a run"},
		"another source":   {strings.Replace(good, "command", "sk-ant-sid01-made-up", 1) + "}", "it is no status of a run"},
		"no failure":       {good + `,"failures":-1,"error":"x"}`, "it is no status of a run"},
		"half a failure":   {good + `,"error":"x"}`, "it is no status of a run"},
		"one without end":  {good + strings.Repeat(" ", 70000) + "}", "it is no status of a run"},
		"of another token": {strings.Replace(good, "0123abcd", "0123abcdef", 1) + "}", "it is no status of a run"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRunWorld(t)
			w.set("INGRESSAUTH_RUN_STATUS=" + fileWith(t, "status", test.text))
			for _, format := range []string{"text", "json"} {
				cmd := w.run()
				cmd.Args = []string{cmd.Path, "status", "-o", format}
				out, errs, code := w.output(cmd)
				if errs != "" || code != 0 || strings.Contains(out, "made-up") || format == "text" && !strings.Contains(out, test.want) {
					t.Errorf("%q %q %d", out, errs, code)
				}
			}
		})
	}
	w := newRunWorld(t)
	w.set("INGRESSAUTH_RUN_STATUS=/nonexistent/status")
	cmd := w.run()
	cmd.Args = []string{cmd.Path, "status"}
	if out, _, code := w.output(cmd); code != 0 || !strings.Contains(out, "the status of the run above cannot be read: no such file") {
		t.Errorf("%q %d", out, code)
	}
}

// TestHelpers has one token command be run at a time.
func TestHelpers(t *testing.T) {
	h := new(helpers)
	first := make(chan error)
	waits := exec.Command("cat")
	input, err := waits.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { first <- h.run(waits) }()
	eventually(t, "it runs", func() bool {
		h.lock.Lock()
		defer h.lock.Unlock()
		return h.helper != nil
	})
	if err := h.run(exec.Command("true")); err != errRuns {
		t.Error(err)
	}
	input.Close()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := h.run(exec.Command("true")); err != nil {
		t.Error(err)
	}
	// While it is halted, one waits.
	if err := h.halt(); err != nil {
		t.Error(err)
	}
	go func() { first <- h.run(exec.Command("true")) }()
	select {
	case err := <-first:
		t.Errorf("it was run: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	h.resume()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// TestRunEndpoint has the token be from an endpoint, by every kind of client.
func TestRunEndpoint(t *testing.T) {
	signer := verifytest.NewSigner(verify.ES256, "key-1")
	der, err := x509.MarshalPKCS8PrivateKey(signer.Key)
	if err != nil {
		t.Fatal(err)
	}
	key := fileWith(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	secret := fileWith(t, "secret", "made-up-secret\n")
	for _, tt := range []struct {
		name    string
		members map[string]any
		want    map[string]string // of the form
		basic   bool
	}{
		{"secret", map[string]any{"client_id": "c", "client_secret_file": secret, "parameters": map[string]any{"scope": "a b", "resource": []string{"x", "y"}}},
			map[string]string{"grant_type": "client_credentials", "scope": "a b", "resource": "x"}, true},
		{"key", map[string]any{"client_id": "c", "client_key_file": key, "client_key_id": "key-1", "issuer": "https://issuer.example"},
			map[string]string{"grant_type": "client_credentials", "client_id": "c"}, false},
		{"session", map[string]any{"subject": "session", "client_id": "public"},
			map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": testToken, "client_id": "public"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newRunWorld(t)
			server := refreshtest.NewEndpoint()
			defer server.Close()
			server.SetLife(time.Hour)
			tt.members["from"], tt.members["revocation_url"] = "endpoint:"+server.URL, server.RevocationURL
			out, errs, code := w.output(w.run("--source", sourceFor(t, tt.members), "--", "sh", "-c", `ingressauth token; ingressauth status | grep ^run:`))
			token, status, _ := strings.Cut(out, "\n")
			if server.Generation(token) != 1 || !strings.HasPrefix(status, "run: token 1 of the endpoint, bearer:") || !strings.Contains(status, ", expires ") || errs != "" || code != 0 {
				t.Fatalf("%q %q %d", out, errs, code)
			}
			request := server.Requests()[0]
			for name, want := range tt.want {
				if got := request.Form.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if id, s, ok := (&http.Request{Header: request.Header}).BasicAuth(); ok != tt.basic || ok && (id != "c" || s != "made-up-secret") {
				t.Errorf("authenticated by %q %q", id, s)
			}
			if revoked := server.Revoked(); len(revoked) != 1 || revoked[0] != token {
				t.Errorf("%d were revoked", len(revoked))
			}
		})
	}
}

// TestRunCertificate has a client prove who it is by a certificate, to a server that has one of an
// authority of its own, and that client's replaced meanwhile.
func TestRunCertificate(t *testing.T) {
	w := newRunWorld(t)
	endpoint := new(refreshtest.Endpoint)
	server := httptest.NewUnstartedServer(endpoint)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	defer server.Close()
	pemOf := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	newClient := func(name string) (certificate, key string) {
		signer := verifytest.NewSigner(verify.ES256, "")
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Key.Public(), signer.Key)
		if err != nil {
			t.Fatal(err)
		}
		k, err := x509.MarshalPKCS8PrivateKey(signer.Key)
		if err != nil {
			t.Fatal(err)
		}
		return pemOf("CERTIFICATE", der), pemOf("PRIVATE KEY", k)
	}
	w.set("SSL_CERT_FILE=" + fileWith(t, "ca.pem", pemOf("CERTIFICATE", server.Certificate().Raw)))
	certificate, key := newClient("client-1")
	both := fileWith(t, "client.pem", certificate+key)
	source := sourceFor(t, map[string]any{"from": "endpoint:" + server.URL, "client_id": "c", "certificate_file": both, "refresh": "50ms"})
	next, nextKey := newClient("client-2")
	w.set("NEXT="+next+nextKey, "FILE="+both)
	_, errs, code := w.output(w.run("--source", source, "--", "sh", "-c", `
		printf '%s' "$NEXT" >"$FILE.new"; mv "$FILE.new" "$FILE"
		n=$(sed 's/-[^-]*$//; s/.*-//' "$CLAUDE_SESSION_INGRESS_TOKEN_FILE")
		until [ "$(sed 's/-[^-]*$//; s/.*-//' "$CLAUDE_SESSION_INGRESS_TOKEN_FILE")" -gt $((n + 1)) ]; do sleep 0.01; done`))
	if errs != "" || code != 0 {
		t.Errorf("%q %d", errs, code)
	}
	requests := endpoint.Requests()
	first, last := requests[0], requests[len(requests)-1]
	if first.Certificate != "client-1" || last.Certificate != "client-2" || last.Form.Get("client_id") != "c" {
		t.Errorf("first %q, last %q for %q", first.Certificate, last.Certificate, last.Form.Get("client_id"))
	}
	// The same, with the key in a file of its own.
	source = sourceFor(t, map[string]any{"from": "endpoint:" + server.URL, "client_id": "c",
		"certificate_file": fileWith(t, "cert.pem", certificate), "certificate_key_file": fileWith(t, "key.pem", key)})
	if _, errs, code := w.output(w.run("--source", source, "--", "true")); errs != "" || code != 0 {
		t.Errorf("%q %d", errs, code)
	}
}

// TestRunEndpointChain has the session's own token be renewed by exchange: each of the one
// before.
func TestRunEndpointChain(t *testing.T) {
	w := newRunWorld(t)
	server := refreshtest.NewEndpoint()
	defer server.Close()
	source := sourceFor(t, map[string]any{"from": "endpoint:" + server.URL, "subject": "issued", "refresh": "20ms"})
	_, errs, code := w.output(w.run("--source", source, "--", "sh", "-c",
		// Who is held up for an interval does not see each of them.
		`until [ "$(sed 's/-[^-]*$//; s/.*-//' "$CLAUDE_SESSION_INGRESS_TOKEN_FILE")" -ge 5 ]; do sleep 0.001; done`))
	if errs != "" || code != 0 {
		t.Errorf("%q %d", errs, code)
	}
	for i, request := range server.Requests() {
		subject := request.Form.Get("subject_token")
		if i == 0 && subject != testToken || i > 0 && server.Generation(subject) != i {
			t.Errorf("request %d is to exchange generation %d", i, server.Generation(subject))
		}
	}
}

// TestRunRevocationFails has the endpoint refuse that at the end, and stall then.
func TestRunRevocationFails(t *testing.T) {
	w := newRunWorld(t)
	server := refreshtest.NewEndpoint()
	defer server.Close()
	events := filepath.Join(t.TempDir(), "events")
	source := sourceFor(t, map[string]any{"from": "endpoint:" + server.URL, "revocation_url": server.RevocationURL, "subject": "session"})
	exits := func() int {
		text, _ := os.ReadFile(events)
		return bytes.Count(text, []byte(`"event":"exit"`))
	}
	run := func(interrupts bool, before func()) (took time.Duration, code int) {
		asked, exited := len(server.Requests()), exits()
		cmd := w.run("--source", source, "--events", events, "--", "sh", "-c", "read line; exit 7")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it starts", func() bool { return len(server.Requests()) > asked })
		before()
		begun := time.Now()
		fmt.Fprintln(in)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			cmd.Wait()
		}()
		eventually(t, "the command ends", func() bool { return exits() > exited })
		if interrupts { // and the signal is not to belong to that
			time.Sleep(2 * repeatTime)
			cmd.Process.Signal(syscall.SIGTERM)
		}
		<-ended
		return time.Since(begun), cmd.ProcessState.ExitCode()
	}
	if _, code := run(false, func() { server.Fail(http.StatusServiceUnavailable, "temporarily_unavailable") }); code != 7 {
		t.Errorf("exit code %d", code)
	}
	failures := eventsOf(t, events, eventFailure)
	if len(failures) != 1 || !strings.Contains(fmt.Sprint(failures[0]["error"]), "revoke session token bearer:") {
		t.Errorf("failures: %v", failures)
	}
	server.Resume()
	if took, code := run(true, server.Stall); code != 7 || took > 8*time.Second {
		t.Errorf("exit code %d after %v", code, took)
	}
	if left := w.left(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestRunReapsBeside has tokens be printed by commands while orphans end all around: nobody
// takes the exit code of another, and no zombie stays.
func TestRunReapsBeside(t *testing.T) {
	w := newRunWorld(t)
	events := filepath.Join(t.TempDir(), "events")
	out, errs, code := w.output(w.run("--from", "command:sh "+countingHelper(t), "--refresh", "10ms", "--events", events, "--", "sh", "-c", `
		for i in $(seq 300); do (true & true &) ; done
		sleep 0.2
		# Those that have just ended are waited for in a moment.
		for i in $(seq 200); do
			zombies=$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | while read f; do grep -q "^PPid:.$PPID$" $f 2>/dev/null && echo zombie; done)
			[ -z "$zombies" ] && break
			sleep 0.05
		done
		[ -z "$zombies" ] || echo "$zombies"
		# Whoever is held up for an interval does not see each of them.
		until [ "$(grep -c '"event":"`+eventGeneration+`"' `+events+`)" -ge 10 ]; do sleep 0.01; done
		exit 5`))
	if out != "" || errs != "" || code != 5 {
		t.Errorf("%q %q %d", out, errs, code)
	}
	if failures := eventsOf(t, events, eventFailure); len(failures) > 0 {
		t.Errorf("failures: %v", failures)
	}
	if n := len(eventsOf(t, events, eventGeneration)); n < 10 {
		t.Errorf("%d generations", n)
	}
}

// TestRunRestartsBeside has the command be replaced for each token, with one that is being
// printed when what the last one has left is ended.
func TestRunRestartsBeside(t *testing.T) {
	w := newRunWorld(t)
	events := filepath.Join(t.TempDir(), "events")
	slow := fileWith(t, "slow", "sleep 0.1\n. "+countingHelper(t)+"\n")
	starts := filepath.Join(t.TempDir(), "starts")
	_, errs, code := w.output(w.run("--from", "command:sh "+slow, "--refresh", "150ms", "--on-rotate", "restart", "--events", events, "--", "sh", "-c", `
		trap 'sleep 0.3; exit 0' TERM # first, or one that is held up is replaced before it has counted
		ingressauth token >>`+starts+`
		[ $(wc -l <`+starts+`) -ge 8 ] && exit 6
		sleep 30 & wait`))
	if errs != "" || code != 6 {
		t.Errorf("%q %d", errs, code)
	}
	text, _ := os.ReadFile(starts)
	lines := strings.Fields(string(text))
	for i, line := range lines[1:] {
		if line == lines[i] {
			t.Errorf("started twice with one token: %q", lines)
		}
	}
	for _, e := range eventsOf(t, events, eventFailure) {
		if !strings.Contains(fmt.Sprint(e["error"]), "signal: killed") { // with what the command had left
			t.Errorf("failure: %v", e)
		}
	}
}

// TestRunSignalledWhileFirst has signals come while the first token is waited for.
func TestRunSignalledWhileFirst(t *testing.T) {
	dir := t.TempDir()
	for _, number := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
		for _, exec := range []bool{false, true} {
			w := newRunWorld(t)
			pids := filepath.Join(dir, fmt.Sprintf("%d-%v", number, exec))
			helper := fileWith(t, "helper", "echo $$ >"+pids+".new; mv "+pids+".new "+pids+"; trap '' TERM; sleep 61")
			args := []string{"--from", "command:sh " + helper, "--", "touch", filepath.Join(dir, "started")}
			if exec {
				args = append([]string{"--exec"}, args...)
			}
			cmd := w.run(args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the helper starts", func() bool { _, err := os.Stat(pids); return err == nil })
			begun := time.Now()
			cmd.Process.Signal(number)
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 128+int(number) {
				t.Errorf("exit code %d after %v", code, number)
			}
			if d := time.Since(begun); d > 8*time.Second {
				t.Errorf("it took %v", d)
			}
			var pid int
			text, _ := os.ReadFile(pids)
			fmt.Sscan(string(text), &pid)
			eventually(t, "the helper has ended", func() bool { return syscall.Kill(-pid, 0) != nil })
			if left := w.left(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
		t.Error("the command was started")
	}
}

// TestRunKilledWhileRenewing has run be killed while a token is printed: nothing is left.
func TestRunKilledWhileRenewing(t *testing.T) {
	for _, which := range []string{"guard", "supervisor"} {
		t.Run(which, func(t *testing.T) {
			w := newRunWorld(t)
			pids := filepath.Join(t.TempDir(), "pids")
			helper := fileWith(t, "helper", `[ -e `+pids+`.first ] && { echo $PPID $$ >`+pids+`.new; mv `+pids+`.new `+pids+`; sleep 61; }
				touch `+pids+`.first; echo made-up`)
			cmd := w.run("--from", "command:sh "+helper, "--refresh", "20ms", "--", "sleep", "62")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the helper runs again", func() bool { _, err := os.Stat(pids); return err == nil })
			var supervisor, pid int
			text, _ := os.ReadFile(pids)
			fmt.Sscan(string(text), &supervisor, &pid)
			if which == "guard" {
				cmd.Process.Kill()
			} else {
				syscall.Kill(supervisor, syscall.SIGKILL)
			}
			cmd.Wait()
			eventually(t, "all have ended", func() bool { return syscall.Kill(-pid, 0) != nil && syscall.Kill(supervisor, 0) != nil })
			eventually(t, "the directories are gone", func() bool { return len(w.left()) == 0 })
		})
	}
}

// TestRunSourceRefuses has bad flags and files be said on one line, and nothing of them shown.
func TestRunSourceRefuses(t *testing.T) {
	raw := func(text string) []string { return []string{"--source", fileWith(t, "source.json", text)} }
	file := func(members map[string]any, args ...string) []string {
		return append(args, "--source", sourceFor(t, members))
	}
	command := []string{"true"}
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no command":                   {[]string{"--from", "command:"}, 2, "command:COMMAND, endpoint:URL"},
		"no command but space":         {[]string{"--from", "command: "}, 2, "command:COMMAND, endpoint:URL"},
		"no URL":                       {[]string{"--from", "endpoint:"}, 2, "command:COMMAND, endpoint:URL"},
		"command alone":                {[]string{"--from", "command"}, 2, "command:COMMAND, endpoint:URL"},
		"another kind":                 {[]string{"--from", "vault:made-up"}, 2, "command:COMMAND, endpoint:URL"},
		"a command with quotes":        {[]string{"--from", "command:helper 'two words'"}, 2, "no shell reads the command"},
		"a command with variables":     {[]string{"--from", "command:helper $HOME"}, 2, "no shell reads the command"},
		"a word with more":             {[]string{"--from", "env:made-up"}, 2, "command:COMMAND, endpoint:URL"},
		"refresh of a session":         {[]string{"--refresh", "10m"}, 2, "--refresh is for a token that run gets itself"},
		"refresh of a file":            {[]string{"--from", "file", "--refresh", "10m"}, 2, "--refresh is for a token that run gets itself"},
		"no duration":                  {[]string{"--from", "command:true", "--refresh", "made-up"}, 2, "how old a token gets, 10ms or more, as 90s"},
		"little time":                  {[]string{"--from", "command:true", "--refresh", "9ms"}, 2, "how old a token gets, 10ms or more, as 90s"},
		"no time":                      {[]string{"--from", "command:true", "--refresh", "0s"}, 2, "how old a token gets, 10ms or more, as 90s"},
		"negative time":                {[]string{"--from", "command:true", "--refresh=-1s"}, 2, "how old a token gets, 10ms or more, as 90s"},
		"an empty name":                {[]string{"--source", ""}, 2, "--source needs the name of a file"},
		"a file for another":           {file(map[string]any{"command": command}, "--from", "file"), 2, "--source is about a command or an endpoint"},
		"no such file":                 {[]string{"--source", "/nonexistent/made-up"}, 125, "--source: no such file"},
		"no JSON":                      {raw("made-up"), 125, "--source: not a JSON object"},
		"a list":                       {raw("[]"), 125, "--source: not a JSON object"},
		"half of it":                   {raw(`{"from":"command:true"`), 125, "--source: not JSON"},
		"two of them":                  {raw(`{"from":"command:true"}{}`), 125, "--source: more than one JSON value"},
		"a long one":                   {raw(strings.Repeat(" ", 70000)), 125, "--source: longer than 65536 bytes"},
		"nothing in it":                {file(nil), 125, "--source: not a JSON object"},
		"nothing of use":               {file(map[string]any{}), 125, "it says nothing of a command or an endpoint"},
		"an unknown member":            {file(map[string]any{"made-up": 1}), 125, "a member twice, or one that is none of from, refresh, command"},
		"a member in another case":     {file(map[string]any{"Command": command}), 125, "a member twice, or one that is none of"},
		"a member twice":               {raw(`{"from":"command:true","from":"command:true"}`), 125, "a member twice"},
		"a member of another type":     {file(map[string]any{"command": "made-up"}), 125, "--source: command: not a list of strings"},
		"a source that is none":        {file(map[string]any{"from": "made-up"}), 125, "--source: from: it takes command:COMMAND or endpoint:URL"},
		"another source":               {file(map[string]any{"from": "env"}), 125, "--source: from: it takes command:COMMAND or endpoint:URL"},
		"a time that is none":          {file(map[string]any{"command": command, "refresh": "made-up"}), 125, "--source: refresh: it takes how old"},
		"a timeout that is none":       {file(map[string]any{"command": command, "timeout": "made-up"}), 125, "--source: timeout: a duration"},
		"two commands":                 {file(map[string]any{"command": command, "from": "command:true"}), 125, "leave out one of them"},
		"a long time":                  {file(map[string]any{"command": command, "timeout": "61s"}), 125, "a Timeout that is negative, or more than 1m0s"},
		"a key from a pipe":            {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "client_key_file": fifo(t, t.TempDir())}), 125, "client_key_file: it is not a regular file"},
		"a flag before a bad file":     {file(map[string]any{"from": "made-up", "refresh": "1h"}, "--from", "command:true"), 125, "--source: from: it takes command:COMMAND or endpoint:URL"},
		"no parameter":                 {raw(`{"from":"endpoint:https://x.example","subject":"session","parameters":{"scope":null}}`), 125, "--source: parameters: not an object of strings, or of lists of them"},
		"an encrypted key":             {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "client_key_file": fileWith(t, "key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")}), 125, "client_key_file: the private key is encrypted"},
		"a command and an endpoint":    {file(map[string]any{"command": command, "from": "endpoint:https://x.example"}), 125, "the token is not from a command"},
		"a client for a command":       {file(map[string]any{"command": command, "client_id": "made-up"}), 125, "members for an endpoint"},
		"variables for an endpoint":    {file(map[string]any{"from": "endpoint:https://x.example", "inherit": []string{"X"}}), 125, "members for a command"},
		"nobody":                       {[]string{"--from", "endpoint:https://x.example"}, 125, "an endpoint needs a --source"},
		"plain HTTP":                   {file(map[string]any{"from": "endpoint:http://made-up.example", "subject": "session"}), 125, "the URL of an endpoint is https://"},
		"another subject":              {file(map[string]any{"from": "endpoint:https://x.example", "subject": "made-up"}), 125, "subject: it is session"},
		"no client id":                 {file(map[string]any{"from": "endpoint:https://x.example", "client_secret_file": "made-up"}), 125, "client_id: it is missing"},
		"two ways":                     {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "client_secret_file": "made-up", "client_key_file": "made-up"}), 125, "a client has one of them"},
		"a key id without a key":       {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "client_secret_file": "made-up", "client_key_id": "x"}), 125, "they go with client_key_file"},
		"a key without certificate":    {file(map[string]any{"from": "endpoint:https://x.example", "subject": "session", "certificate_key_file": "made-up"}), 125, "it goes with certificate_file"},
		"no such key":                  {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "client_key_file": "/nonexistent/made-up"}), 125, "client_key_file: no such file"},
		"no key":                       {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "client_key_file": fileWith(t, "key", "made-up")}), 125, "client_key_file: no private key in PEM"},
		"a key that cannot be read":    {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "client_key_file": fileWith(t, "key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}), 125, "client_key_file: a private key that cannot be read"},
		"no certificate":               {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "certificate_file": fileWith(t, "cert", "made-up")}), 125, "certificate_file: not a certificate and its private key"},
		"no such certificate":          {file(map[string]any{"from": "endpoint:https://x.example", "client_id": "c", "certificate_file": "/nonexistent/made-up"}), 125, "certificate_file: no such file"},
		"a parameter that is ours":     {file(map[string]any{"from": "endpoint:https://x.example", "subject": "session", "parameters": map[string]string{"subject_token": "made-up"}}), 125, "the parameter subject_token"},
		"a revocation anywhere":        {file(map[string]any{"from": "endpoint:https://x.example", "subject": "session", "revocation_url": "http://made-up.example"}), 125, "the URL of an endpoint is https://"},
		"a parameter that is a number": {file(map[string]any{"from": "endpoint:https://x.example", "parameters": map[string]any{"scope": 1}}), 125, "--source: parameters: not an object of strings, or of lists of them"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, exec := range []bool{false, true} {
				w := newRunWorld(t)
				args := test.args
				if exec && name == "a revocation anywhere" {
					continue // which has another reason
				}
				if exec {
					args = append([]string{"--exec"}, args...)
				}
				out, errs, code := w.output(w.run(append(args, "--", "echo", "started")...))
				if code != test.code || out != "" || !strings.Contains(errs, test.want) || strings.Count(errs, "\n") != 1 || strings.Contains(errs, "made-up") {
					t.Errorf("exit code %d, standard output %q, standard error %q; want %d and %q", code, out, errs, test.code, test.want)
				}
				if left := w.left(); len(left) > 0 {
					t.Errorf("left: %q", left)
				}
			}
		})
	}
}
