//go:build linux || darwin || freebsd

package ingressauth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ingressauth/ingressauth"
	"golang.org/x/sys/unix"
)

// ignoreOwner leaves out what differs between machines.
var ignoreOwner = cmpopts.IgnoreFields(ingressauth.SourceReport{}, "Owner")

func TestExplain(t *testing.T) {
	sources := func(v, d, f ingressauth.SourceReport) []ingressauth.SourceReport {
		v.Source, d.Source, f.Source = "variable", "descriptor", "file"
		return []ingressauth.SourceReport{v, d, f}
	}
	const unset = "not set, or empty"
	type report = ingressauth.SourceReport
	for _, tt := range []struct {
		name    string
		compat  bool
		prepare func(w *world)
		want    func(p ingressauth.Profile) ingressauth.Report
	}{
		{"nothing", false, func(w *world) {}, func(p ingressauth.Profile) ingressauth.Report {
			return ingressauth.Report{
				Why: "variable " + p.TokenVariable + ": " + unset + "; variable " + p.DescriptorVariable + ": " + unset + "; token file " + p.File + ": it does not exist",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Note: unset}, report{Name: p.DescriptorVariable, LookedAt: true, Note: unset},
					report{Name: p.File, LookedAt: true, Note: "it does not exist"}),
			}
		}},
		{"variable", false, func(w *world) {
			w.setenv(w.p.TokenVariable, "sk-ant-sid01-k")
			w.write(w.p.File, "in file")
		}, func(p ingressauth.Profile) ingressauth.Report {
			return ingressauth.Report{
				Winner: "variable", Why: "the first in order that has a token",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Found: true, Wins: true, Scheme: "session-key", Fingerprint: "29104a7d"},
					report{Name: p.DescriptorVariable, Note: unset},
					report{Name: p.File, Found: true, Scheme: "bearer", Fingerprint: "fd6379bd", Mode: "0600"}),
				Warnings: []string{"token file " + p.File + ": it holds another token, which is not used while the variable has one"},
			}
		}},
		{"memfd or file, without effect", false, func(w *world) {
			w.setenv(w.p.DescriptorVariable, inheritFile(w.t, "in file"))
			w.setenv(w.p.RemoteVariable, "1")
		}, func(p ingressauth.Profile) ingressauth.Report {
			return ingressauth.Report{
				Winner: "descriptor", Why: "the first in order that has a token (variable: not set, or empty)",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Note: unset},
					report{Name: os.Getenv(p.DescriptorVariable), LookedAt: true, Found: true, Wins: true, Scheme: "bearer", Fingerprint: "fd6379bd", Mode: "0600"},
					report{Name: p.File, Note: "it does not exist"}),
			}
		}},
		{"pipe that nobody has read", false, func(w *world) {
			n, _ := inheritPipe(w.t, "12345")
			w.setenv(w.p.DescriptorVariable, n)
			w.write(w.p.File, "in file")
		}, func(p ingressauth.Profile) ingressauth.Report {
			return ingressauth.Report{
				Undetermined: true, Why: "it depends on what is in the descriptor, which nobody has read yet; it can be read only once",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Note: unset},
					report{Name: os.Getenv(p.DescriptorVariable), LookedAt: true, Unread: true, Waiting: 5, Note: "unread pipe"},
					report{Name: p.File, Found: true, Scheme: "bearer", Fingerprint: "fd6379bd", Mode: "0600"}),
			}
		}},
		{"pipe behind a variable", false, func(w *world) {
			n, _ := inheritPipe(w.t, "12345")
			w.setenv(w.p.DescriptorVariable, n)
			w.setenv(w.p.TokenVariable, "in file")
		}, func(p ingressauth.Profile) ingressauth.Report {
			return ingressauth.Report{
				Winner: "variable", Why: "the first in order that has a token",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Found: true, Wins: true, Scheme: "bearer", Fingerprint: "fd6379bd"},
					report{Name: os.Getenv(p.DescriptorVariable), Unread: true, Waiting: 5, Note: "unread pipe"},
					report{Name: p.File, Note: "it does not exist"}),
			}
		}},
		{"pipe at its end", false, func(w *world) {
			n, pipe := inheritPipe(w.t, "")
			pipe.Close()
			w.setenv(w.p.DescriptorVariable, n)
			w.write(w.p.File, "in file")
		}, func(p ingressauth.Profile) ingressauth.Report {
			const note = "at its end without a byte, so another process has read it"
			return ingressauth.Report{
				Winner: "file", Why: "the first in order that has a token (variable: not set, or empty; descriptor: " + note + ")",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Note: unset},
					report{Name: os.Getenv(p.DescriptorVariable), LookedAt: true, Note: note},
					report{Name: p.File, LookedAt: true, Found: true, Wins: true, Scheme: "bearer", Fingerprint: "fd6379bd", Mode: "0600"}),
			}
		}},
		{"pipe at its end, under compat", true, func(w *world) {
			n, pipe := inheritPipe(w.t, "")
			pipe.Close()
			w.setenv(w.p.DescriptorVariable, n)
			w.write(w.p.File, "in file")
		}, func(p ingressauth.Profile) ingressauth.Report {
			const note = "it is empty, so nothing is found"
			n := os.Getenv(p.DescriptorVariable)
			return ingressauth.Report{
				Why: "descriptor " + n + ": " + note,
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Note: unset},
					report{Name: n, LookedAt: true, Note: note},
					report{Name: p.File, Found: true, Scheme: "bearer", Fingerprint: "fd6379bd", Mode: "0600"}),
				Warnings: []string{"descriptor " + n + ": " + note},
			}
		}},
		{"expired, and no successor", false, func(w *world) {
			w.setenv(w.p.TokenVariable, jwt(`{"exp":1000000000}`))
		}, func(p ingressauth.Profile) ingressauth.Report {
			return ingressauth.Report{
				Winner: "variable", Why: "the first in order that has a token; it is expired, and nothing may take its place",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Found: true, Wins: true, Scheme: "bearer", Fingerprint: "6a24e90c",
					Expiry: time.Unix(1e9, 0).UTC(), Note: "expired"},
					report{Name: p.DescriptorVariable, Note: unset}, report{Name: p.File, Note: "it does not exist"}),
				Warnings: []string{"variable " + p.TokenVariable + ": its token expired at 2001-09-09T01:46:40Z"},
			}
		}},
		{"an organisation that no header carries", false, func(w *world) {
			w.setenv(w.p.TokenVariable, "sk-ant-sid01-k")
			w.setenv(w.p.OrganizationVariable, "a\nb")
		}, func(p ingressauth.Profile) ingressauth.Report {
			return ingressauth.Report{
				Why: "variable " + p.OrganizationVariable + ": the organisation holds a control character, which no header can carry",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Found: true, Scheme: "session-key", Fingerprint: "29104a7d"},
					report{Name: p.DescriptorVariable, Note: unset}, report{Name: p.File, Note: "it does not exist"}),
			}
		}},
		{"a text that cannot be a token", false, func(w *world) {
			w.setenv(w.p.TokenVariable, "sk-ant-sid01-;")
			w.setenv(w.p.FileVariable, "")
		}, func(p ingressauth.Profile) ingressauth.Report {
			note := `the session key holds a character that no cookie can carry (white space, a control or non-ASCII character, or one of " , ; \)`
			return ingressauth.Report{
				Why: "variable " + p.TokenVariable + ": " + note + "; its text cannot be a token, and what comes after it may be of another session",
				Sources: sources(report{Name: p.TokenVariable, LookedAt: true, Note: note}, report{Name: p.DescriptorVariable, Note: unset},
					report{Name: p.FileVariable, Note: "the variable is set and empty, so no file is read"}),
				Warnings: []string{"variable " + p.TokenVariable + ": " + note},
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.prepare(w)
			r := w.resolver(tt.compat)
			want := tt.want(w.p)
			got := r.Explain(t.Context())
			if diff := cmp.Diff(want, got, ignoreOwner); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, r.Explain(t.Context()), ignoreOwner); diff != "" {
				t.Errorf("the second time (-want +got):\n%s", diff)
			}
			if log := w.log.String(); log != "" {
				t.Errorf("it logged:\n%s", log)
			}
			if want.Sources[2].Mode == "" {
				wantNoFile(t, w.p.File)
			}
			if j, err := json.Marshal(got); err != nil || !strings.HasPrefix(string(j), "{") {
				t.Errorf("JSON: %s, %v", j, err)
			}
			// It says what Token does, and takes nothing away from it.
			text, err := r.Token(t.Context())
			if err != nil && !errors.Is(err, ingressauth.ErrNoToken) && got.Winner != "" {
				t.Fatal(err)
			}
			after := r.Explain(t.Context())
			if !got.Undetermined && after.Winner != got.Winner {
				t.Errorf("after Token %q wins", after.Winner)
			}
			for _, s := range after.Sources {
				if s.Wins && s.Fingerprint != text.Fingerprint() {
					t.Errorf("it says %s, and Token returns %v", s.Fingerprint, text)
				}
			}
		})
	}
}

func TestExplainTakesNothingOutOfAPipe(t *testing.T) {
	w := newWorld(t)
	n, pipe := inheritPipe(t, "in pipe")
	w.setenv(w.p.DescriptorVariable, n)
	r := w.resolver(false)
	for range 3 {
		r.Explain(t.Context())
	}
	pipe.Close()
	if got := r.Explain(t.Context()).Sources[1]; got.Waiting != 7 {
		t.Errorf("%d bytes wait, of 7", got.Waiting)
	}
	wantToken(t, r, "in pipe")
}

func TestExplainDoesNotWait(t *testing.T) {
	w := newWorld(t)
	n, pipe := inheritPipe(t, "in ")
	w.setenv(w.p.DescriptorVariable, n)
	r := w.resolver(false)
	found := make(chan string)
	go func() { found <- tokenText(t, r) }()
	// Should it wait, the read would be over.
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		report := r.Explain(t.Context())
		if !report.Undetermined || time.Since(start) > 20*time.Second {
			t.Fatalf("after %v: %+v", time.Since(start), report)
		}
		if report.Sources[1].Note == "it is being read" {
			break
		}
	}
	pipe.WriteString("pipe")
	pipe.Close()
	if got := <-found; got != "in pipe" {
		t.Errorf("found %q", got)
	}
	if got := r.Explain(t.Context()).Winner; got != "descriptor" {
		t.Errorf("%q wins", got)
	}
}

func TestExplainLeavesAFileThatIsBeingWritten(t *testing.T) {
	w := newWorld(t)
	w.freeze()
	path := w.fileVariable()
	w.rename(path, "first")
	r := w.resolver(false)
	wantToken(t, r, "first")
	first := newToken(t, "first", "").Fingerprint()
	w.write(path, "second")
	for range 30 {
		if got := r.Explain(t.Context()).Sources[2]; got.Fingerprint != first || !strings.Contains(got.Note, "it is being written") {
			t.Fatalf("%+v", got)
		}
		w.advance(time.Millisecond)
	}
	// Had Explain begun the 20 ms, the change would be believed by now.
	wantToken(t, r, "first")
	w.advance(21 * time.Millisecond)
	wantToken(t, r, "second")
}

// TestResolverIsNeverShown prints a resolver that has found and refused tokens.
func TestResolverIsNeverShown(t *testing.T) {
	w := newWorld(t)
	w.setenv(w.p.TokenVariable, secret)
	w.write(w.fileVariable(), "other-"+secret)
	w.setenv(w.p.DescriptorVariable, inheritFile(t, "third-"+secret))
	r := w.resolver(false)
	for range 3 {
		token, err := r.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Renew(t.Context(), token)
	}
	for verb := rune('A'); verb <= 'z'; verb++ {
		for _, flag := range []string{"", "+", "#"} {
			if out := fmt.Sprintf("%"+flag+string(verb), struct{ r *ingressauth.Resolver }{r}) + fmt.Sprintf("%"+flag+string(verb), r); strings.Contains(out, secret) {
				t.Fatalf("%%%s%c shows a token", flag, verb)
			}
		}
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("the log shows a token")
	}
}

// TestOwnDescriptorsOfTheRuntime starts a program with descriptors 3 to 9 closed,
// where the Go runtime opens some of its own before main, and with the variable
// naming each. None is read as a token, and none is closed or moved.
func TestOwnDescriptorsOfTheRuntime(t *testing.T) {
	w := newWorld(t)
	sh := needProgram(t, "sh")
	for n := 3; n <= 9; n++ {
		cmd := helper(t, w.p, w.p.DescriptorVariable+"="+strconv.Itoa(n), helperExplains+"=1")
		cmd.Args = []string{"sh", "-c", `exec "$0" 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-`, cmd.Path}
		cmd.Path = sh
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("descriptor %d: %v: %s", n, err, out)
		}
		var got helperAnswer
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		d := got.Report.Sources[1]
		if got.Text != "" || d.Found || d.Unread || d.Note != "it cannot be read: it is not open" && !strings.Contains(d.Note, "close-on-exec") {
			t.Errorf("descriptor %d: %+v", n, got)
		}
		if diff := cmp.Diff(got.Before, got.After); diff != "" {
			t.Errorf("descriptor %d: the process's descriptors changed (-before +after):\n%s", n, diff)
		}
	}
}

// openDescriptors says what descriptors 3 to 9 are open on, and where they are.
func openDescriptors() []string {
	var open []string
	for n := 3; n <= 9; n++ {
		var st unix.Stat_t
		if unix.Fstat(n, &st) != nil {
			continue
		}
		offset, _ := unix.Seek(n, 0, 1)
		open = append(open, fmt.Sprint(n, " ", st.Dev, " ", st.Ino, " ", offset))
	}
	return open
}
