package ingressauth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
)

// rule is a test of one rule, in one mode or in both.
type rule struct {
	name string
	test func(t *testing.T, w *world, compat bool)
}

func runRules(t *testing.T, modes []bool, rules []rule) {
	for _, r := range rules {
		for _, compat := range modes {
			mode := map[bool]string{false: "", true: "/compat"}[compat]
			t.Run(r.name+mode, func(t *testing.T) { r.test(t, newWorld(t), compat) })
		}
	}
}

// TestRules has the rules that hold in both modes, by the names that the package
// comment gives them.
func TestRules(t *testing.T) {
	runRules(t, []bool{false, true}, []rule{
		{"R1 the variable comes first", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, " in variable")
			w.write(w.fileVariable(), "in file")
			wantToken(t, w.resolver(compat), " in variable")
			w.wantQuiet()
		}},
		{"R1 the variable is looked at on every call", func(t *testing.T, w *world, compat bool) {
			r := w.resolver(compat)
			w.setenv(w.p.TokenVariable, "first")
			wantToken(t, r, "first")
			w.setenv(w.p.TokenVariable, "second")
			wantToken(t, r, "second")
			w.setenv(w.p.TokenVariable, "")
			wantToken(t, r, "")
			w.setenv(w.p.TokenVariable, "third")
			wantToken(t, r, "third")
		}},
		{"R2 the outcome holds while the variable comes and goes", func(t *testing.T, w *world, compat bool) {
			w.write(w.fileVariable(), "in file")
			r := w.resolver(compat)
			wantToken(t, r, "in file")
			w.setenv(w.p.TokenVariable, "in variable")
			wantToken(t, r, "in variable")
			// Too late: where to look was decided at the first look.
			w.setenv(w.p.FileVariable, "/elsewhere")
			w.setenv(w.p.DescriptorVariable, "not a number")
			w.unsetenv(w.p.TokenVariable)
			wantToken(t, r, "in file")
		}},
		{"R3 without a descriptor the file is read", func(t *testing.T, w *world, compat bool) {
			w.write(w.fileVariable(), "in file")
			w.setenv(w.p.DescriptorVariable, "")
			wantToken(t, w.resolver(compat), "in file")
			w.unsetenv(w.p.DescriptorVariable)
			wantToken(t, w.resolver(compat), "in file")
		}},
		{"R4 without a number nothing is found", func(t *testing.T, w *world, compat bool) {
			w.write(w.fileVariable(), "in file")
			for _, s := range []string{"abc", " ", "+", "- 3", "++3", "\u00853", secret} {
				w.setenv(w.p.DescriptorVariable, s)
				wantToken(t, w.resolver(compat), "")
			}
			w.wantLog(slog.LevelError, w.p.DescriptorVariable+": it holds no number")
			if strings.Contains(w.log.String(), secret) {
				t.Error("the log shows what may be a token in the wrong variable")
			}
		}},
		{"R6 the variable's path", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in the well-known file")
			w.write(w.fileVariable(), "\uFEFF \t in file \r\n\u2028")
			wantToken(t, w.resolver(compat), "in file")
			w.wantQuiet()
		}},
		{"R6 the default path", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in the well-known file\n")
			wantToken(t, w.resolver(compat), "in the well-known file")
		}},
		{"R6 a variable set to nothing reads nothing", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in the well-known file")
			w.setenv(w.p.FileVariable, "")
			wantToken(t, w.resolver(compat), "")
			w.wantQuiet()
		}},
		{"R6 a missing file is no error", func(t *testing.T, w *world, compat bool) {
			w.fileVariable()
			wantToken(t, w.resolver(compat), "")
			w.wantQuiet()
		}},
		{"R6 any other failure is one", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.FileVariable, w.dir)
			wantToken(t, w.resolver(compat), "")
			w.wantLog(slog.LevelError, w.dir+": it is not a regular file")
		}},
		{"R6 a path that looks like a token is not shown", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.FileVariable, "sk-ant-sid01-"+secret)
			_, err := w.resolver(compat).Token(t.Context())
			if !errors.Is(err, ingressauth.ErrNoToken) || strings.Contains(err.Error(), secret) {
				t.Errorf("Token: %v", err)
			}
			if strings.Contains(fmt.Sprint(w.log, w.resolver(compat).Explain(t.Context())), secret) {
				t.Error("the log or the report shows it")
			}
		}},
		{"H1 no token, no headers", func(t *testing.T, w *world, compat bool) {
			wantHeader(t, w.resolver(compat), http.Header{})
		}},
		{"H2 a session key is a cookie", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "sk-ant-sid01-k")
			r := w.resolver(compat)
			wantHeader(t, r, http.Header{"Cookie": {"sessionKey=sk-ant-sid01-k"}})
			w.setenv(w.p.OrganizationVariable, "org")
			wantHeader(t, r, http.Header{"Cookie": {"sessionKey=sk-ant-sid01-k"}, "X-Organization-Uuid": {"org"}})
			w.setenv(w.p.OrganizationVariable, "other")
			wantHeader(t, r, http.Header{"Cookie": {"sessionKey=sk-ant-sid01-k"}, "X-Organization-Uuid": {"other"}})
			w.setenv(w.p.OrganizationVariable, "or\ng")
			if h, err := r.Header(t.Context()); err == nil || strings.Contains(err.Error(), "or\ng") {
				t.Errorf("an organisation that no header can carry: %v, %v", h, err)
			}
			w.setenv(w.p.OrganizationVariable, "")
			wantHeader(t, r, http.Header{"Cookie": {"sessionKey=sk-ant-sid01-k"}})
		}},
		{"H3 any other token is a bearer", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "tok")
			w.setenv(w.p.OrganizationVariable, "org")
			r := w.resolver(compat)
			h := wantHeader(t, r, http.Header{"Authorization": {"Bearer tok"}})
			h.Set("Authorization", "changed")
			h.Set("Other", "x")
			wantHeader(t, r, http.Header{"Authorization": {"Bearer tok"}})
		}},
		{"U1 an update sets the variable", func(t *testing.T, w *world, compat bool) {
			w.write(w.fileVariable(), "in file")
			r := w.resolver(compat)
			wantToken(t, r, "in file")
			t.Cleanup(func() { os.Unsetenv(w.p.TokenVariable) })
			if err := r.Update("updated"); err != nil {
				t.Fatal(err)
			}
			wantToken(t, r, "updated")
			out, err := exec.Command(needProgram(t, "sh"), "-c", "printf %s \"$"+w.p.TokenVariable+`"`).Output()
			if err != nil || string(out) != "updated" {
				t.Errorf("a child inherits %q, %v", out, err)
			}
			if err := r.Update(""); err != nil {
				t.Fatal(err)
			}
			if v, set := os.LookupEnv(w.p.TokenVariable); set {
				t.Errorf("cleared, the variable is %q", v)
			}
			wantToken(t, r, "in file")
		}},
		{"U1 a text that no header carries changes nothing", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "good")
			r := w.resolver(compat)
			for _, bad := range []string{secret + "\nx", "sk-ant-sid " + secret, secret + "\x00"} {
				if err := r.Update(bad); err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("Update: %v", err)
				}
			}
			wantToken(t, r, "good")
		}},
		{"text that no header carries is refused", func(t *testing.T, w *world, compat bool) {
			path := w.fileVariable()
			w.write(path, "other session's?")
			w.setenv(w.p.TokenVariable, "sk-ant-sid01-"+secret+"; a=b")
			r := w.resolver(compat)
			token, err := r.Token(t.Context())
			if err == nil || errors.Is(err, ingressauth.ErrNoToken) || !token.IsZero() {
				t.Errorf("Token: %v, %v", token, err)
			}
			if h, err := r.Header(t.Context()); err == nil {
				t.Errorf("Header: %v", h)
			}
			w.unsetenv(w.p.TokenVariable)
			w.write(path, secret+"\x01")
			r = w.resolver(compat)
			if _, err2 := r.Token(t.Context()); err2 == nil || errors.Is(err2, ingressauth.ErrNoToken) {
				t.Errorf("in the file: %v", err2)
			}
			w.write(path, secret+"\xff")
			_, err3 := w.resolver(compat).Token(t.Context())
			if err3 == nil || errors.Is(err3, ingressauth.ErrNoToken) || !strings.Contains(err3.Error(), "UTF-8") {
				t.Errorf("not UTF-8: %v", err3)
			}
			if strings.Contains(fmt.Sprint(err, w.log, r.Explain(t.Context())), secret) {
				t.Error("an error, the log or a report shows it")
			}
		}},
		{"a token of more than 64 KiB is refused", func(t *testing.T, w *world, compat bool) {
			path := w.fileVariable()
			w.write(path, strings.Repeat("x", 64<<10))
			wantToken(t, w.resolver(compat), strings.Repeat("x", 64<<10))
			w.write(path, strings.Repeat("x", 64<<10+1))
			wantToken(t, w.resolver(compat), "")
			w.wantLog(slog.LevelError, "more than 64 KiB")
		}},
	})
}

// TestCompat has what holds under Compat alone.
func TestCompat(t *testing.T) {
	runRules(t, []bool{true}, []rule{
		{"R1 byte for byte", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, " tok \t")
			wantToken(t, w.resolver(compat), " tok \t")
			w.setenv(w.p.TokenVariable, " ")
			wantToken(t, w.resolver(compat), " ")
			w.setenv(w.p.TokenVariable, "tok\n")
			if _, err := w.resolver(compat).Token(t.Context()); err == nil {
				t.Error("a token with a line break, which no header carries, was found")
			}
		}},
		{"R2 a file is read once", func(t *testing.T, w *world, compat bool) {
			path := w.fileVariable()
			r := w.resolver(compat)
			wantToken(t, r, "")
			w.write(path, "in file")
			wantToken(t, r, "")
			r = w.resolver(compat)
			wantToken(t, r, "in file")
			w.rename(path, "another")
			wantToken(t, r, "in file")
			if _, err := r.Renew(t.Context(), newToken(t, "in file", "")); !errors.Is(err, ingressauth.ErrNoToken) {
				t.Errorf("Renew: %v", err)
			}
			wantToken(t, r, "in file")
		}},
		{"Renew without a refused token is a fresh look", func(t *testing.T, w *world, compat bool) {
			r := w.resolver(compat)
			wantToken(t, r, "")
			w.setenv(w.p.TokenVariable, "a")
			if got, err := r.Renew(t.Context(), ingressauth.Token{}); err != nil || got.Reveal() != "a" {
				t.Errorf("Renew: %v, %v", got, err)
			}
		}},
		{"Renew answers with no other source's", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "a")
			w.write(w.p.File, "in file")
			r := w.resolver(compat)
			wantToken(t, r, "a")
			w.unsetenv(w.p.TokenVariable)
			if got, err := r.Renew(t.Context(), newToken(t, "a", "")); !errors.Is(err, ingressauth.ErrNoToken) {
				t.Errorf("Renew: %v, %v", got, err)
			}
		}},
		{"an expired token keeps its place", func(t *testing.T, w *world, compat bool) {
			old, successor := jwt(`{"iss":"i","sub":"s","exp":1000}`), jwt(`{"iss":"i","sub":"s","exp":99999999999}`)
			w.setenv(w.p.TokenVariable, old)
			w.write(w.fileVariable(), successor)
			r := w.resolver(compat)
			wantToken(t, r, old)
			if got, err := r.Renew(t.Context(), newToken(t, old, "")); !errors.Is(err, ingressauth.ErrNoToken) {
				t.Errorf("Renew: %v, %v; another source's token", got, err)
			}
			w.setenv(w.p.TokenVariable, successor)
			if got, err := r.Renew(t.Context(), newToken(t, old, "")); err != nil || got.Reveal() != successor {
				t.Errorf("Renew after a change of the same source: %v, %v", got, err)
			}
		}},
	})
}

// TestImprovements has what holds unless Compat is set.
func TestImprovements(t *testing.T) {
	runRules(t, []bool{false}, []rule{
		{"white space at the variable's end is dropped", func(t *testing.T, w *world, compat bool) {
			r := w.resolver(compat)
			w.setenv(w.p.TokenVariable, " tok \t\r\n")
			wantToken(t, r, " tok")
			if got := r.Explain(t.Context()).Warnings; len(got) != 1 || !strings.Contains(got[0], "white space") {
				t.Errorf("warnings: %q", got)
			}
			w.write(w.fileVariable(), "in file")
			w.setenv(w.p.TokenVariable, "\r\n \t")
			wantToken(t, w.resolver(compat), "in file")
			w.setenv(w.p.TokenVariable, "sk-ant-sid01-k\n")
			w.setenv(w.p.OrganizationVariable, "org\n")
			wantHeader(t, r, http.Header{"Cookie": {"sessionKey=sk-ant-sid01-k"}, "X-Organization-Uuid": {"org"}})
			if err := r.Update("updated\n"); err != nil || os.Getenv(w.p.TokenVariable) != "updated" {
				t.Errorf("Update: %v, and the variable is %q", err, os.Getenv(w.p.TokenVariable))
			}
			if err := r.Update(" \n"); err == nil {
				t.Error("Update takes white space for a token, or for the wish to clear it")
			}
			wantToken(t, r, "updated")
		}},
		{"an expired token yields to its successor", func(t *testing.T, w *world, compat bool) {
			w.freeze()
			claims := func(iss, sub string, exp int) string {
				return jwt(fmt.Sprintf(`{"iss":%q,"sub":%q,"exp":%d}`, iss, sub, exp))
			}
			now := int(w.now.Load().Unix())
			valid, expired := now+3600, now-1
			old := "sk-ant-cc-" + claims("i", "s", expired)
			path := w.fileVariable()
			for _, tt := range []struct {
				name, inVariable, inFile string
				yields                   bool
			}{
				{"successor", old, claims("i", "s", valid), true},
				{"successor behind a prefix", old, "sk-ant-cc-" + claims("i", "s", valid), true},
				{"another subject", old, claims("i", "t", valid), false},
				{"another issuer", old, claims("j", "s", valid), false},
				{"successor that has expired, too", old, claims("i", "s", expired-1), false},
				{"successor of unknown expiry", old, jwt(`{"iss":"i","sub":"s"}`), false},
				{"opaque", old, "opaque", false},
				{"neither names an issuer", jwt(`{"exp":1,"sub":"s"}`), jwt(fmt.Sprintf(`{"exp":%d,"sub":"s"}`, valid)), false},
				{"neither names a subject", jwt(`{"exp":1,"iss":"i"}`), jwt(fmt.Sprintf(`{"exp":%d,"iss":"i"}`, valid)), false},
				{"not expired", claims("i", "s", now+1), claims("i", "s", valid), false},
				{"unknown expiry", jwt(`{"iss":"i","sub":"s"}`), claims("i", "s", valid), false},
				{"opaque in the variable", "opaque", claims("i", "s", valid), false},
			} {
				w.setenv(w.p.TokenVariable, tt.inVariable)
				w.rename(path, tt.inFile)
				want, wins := tt.inVariable, "variable"
				if tt.yields {
					want, wins = tt.inFile, "file"
				}
				r := w.resolver(compat)
				if got := tokenText(t, r); got != want {
					t.Errorf("%s: found the other one", tt.name)
				}
				if got := r.Explain(t.Context()).Winner; got != wins {
					t.Errorf("%s: Explain says %q wins", tt.name, got)
				}
			}
		}},
		{"an expired token yields when it expires", func(t *testing.T, w *world, compat bool) {
			w.freeze()
			exp := w.now.Load().Unix() + 60
			old, successor := jwt(fmt.Sprintf(`{"iss":"i","sub":"s","exp":%d}`, exp)), jwt(fmt.Sprintf(`{"iss":"i","sub":"s","exp":%d}`, exp+3600))
			w.setenv(w.p.TokenVariable, old)
			r := w.resolver(compat)
			wantToken(t, r, old)
			w.write(w.fileVariable(), successor)
			w.advance(59 * 1e9)
			wantToken(t, r, old)
			w.advance(2 * 1e9)
			wantToken(t, r, successor)
		}},
		{"standard streams are not tokens", func(t *testing.T, w *world, compat bool) {
			w.write(w.fileVariable(), "in file")
			for _, n := range []string{"0", "1", "2", "-0", "00"} {
				w.setenv(w.p.DescriptorVariable, n)
				wantToken(t, w.resolver(compat), "in file")
			}
			w.wantLog(slog.LevelError, "standard streams are not tokens")
		}},
	})
}

// TestRenew has what Renew answers; see also TestCompat.
func TestRenew(t *testing.T) {
	a, b := newToken(t, "a", ""), newToken(t, "b", "")
	wantRenewed := func(t *testing.T, r *ingressauth.Resolver, refused ingressauth.Token, want string) {
		t.Helper()
		got, err := r.Renew(t.Context(), refused)
		if got.Reveal() != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ingressauth.ErrNoToken) {
			t.Errorf("Renew: %v, %v; want %q", got, err, want)
		}
	}
	runRules(t, []bool{false}, []rule{
		{"the same source has another by now", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "b")
			r := w.resolver(compat)
			wantRenewed(t, r, a, "b")
			w.unsetenv(w.p.TokenVariable)
			w.write(w.p.File, "c")
			wantRenewed(t, r, b, "c")
			w.rename(w.p.File, "d")
			wantRenewed(t, r, newToken(t, "c", ""), "d")
		}},
		{"the file was written over just now", func(t *testing.T, w *world, compat bool) {
			path := w.fileVariable()
			w.rename(path, "old")
			r := w.resolver(compat)
			wantToken(t, r, "old")
			w.setenv(w.p.TokenVariable, "a")
			wantToken(t, r, "a")
			w.write(path, "new")
			wantRenewed(t, r, a, "new")
		}},
		{"nothing else is there", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "a")
			r := w.resolver(compat)
			wantRenewed(t, r, a, "")
			wantToken(t, r, "a")
			w.wantLog(slog.LevelWarn, "refused")
		}},
		{"no token at all", func(t *testing.T, w *world, compat bool) {
			wantRenewed(t, w.resolver(compat), a, "")
		}},
		{"a refusal is of a text, whatever the organisation", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "sk-ant-sid01-k")
			w.setenv(w.p.OrganizationVariable, "org")
			wantRenewed(t, w.resolver(compat), newToken(t, "sk-ant-sid01-k", "another"), "")
		}},
		{"another source's, not of a file that may be another session's", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "a")
			w.write(w.p.File, "b")
			r := w.resolver(compat)
			wantRenewed(t, r, a, "")
			wantToken(t, r, "a")
		}},
		{"another source's, of the file that the variable names", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "a")
			path := w.fileVariable()
			w.write(path, "b")
			r := w.resolver(compat)
			wantToken(t, r, "a")
			wantRenewed(t, r, a, "b")
			wantToken(t, r, "b")
			// When all are refused, the first in order is used, and none is another.
			wantRenewed(t, r, b, "")
			wantToken(t, r, "a")
			w.rename(path, "c")
			wantRenewed(t, r, a, "c")
		}},
		{"a successor, wherever it is", func(t *testing.T, w *world, compat bool) {
			old, successor := jwt(`{"iss":"i","sub":"s","exp":99999999998}`), jwt(`{"iss":"i","sub":"s","exp":99999999999}`)
			w.setenv(w.p.TokenVariable, old)
			w.write(w.p.File, successor)
			r := w.resolver(compat)
			wantToken(t, r, old)
			wantRenewed(t, r, newToken(t, old, ""), successor)
			wantToken(t, r, successor)
		}},
		{"a refused token that expires stays refused", func(t *testing.T, w *world, compat bool) {
			w.freeze()
			old := jwt(fmt.Sprintf(`{"iss":"i","sub":"s","exp":%d}`, w.now.Load().Unix()+60))
			w.setenv(w.p.TokenVariable, old)
			w.rename(w.fileVariable(), "in file")
			r := w.resolver(compat)
			wantRenewed(t, r, newToken(t, old, ""), "in file")
			w.advance(time.Hour)
			wantToken(t, r, "in file")
		}},
		{"a refused token stays so for as long as its source holds it", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "a")
			path := w.fileVariable()
			w.rename(path, "file-0")
			r := w.resolver(compat)
			wantRenewed(t, r, a, "file-0")
			for i := range 200 {
				w.rename(path, fmt.Sprint("file-", i+1))
				wantRenewed(t, r, newToken(t, fmt.Sprint("file-", i), ""), fmt.Sprint("file-", i+1))
			}
		}},
		{"an expired token is no other token", func(t *testing.T, w *world, compat bool) {
			successor := jwt(`{"iss":"i","sub":"s","exp":99999999999}`)
			w.setenv(w.p.TokenVariable, jwt(`{"iss":"i","sub":"s","exp":1}`))
			w.write(w.p.File, successor)
			wantRenewed(t, w.resolver(compat), newToken(t, successor, ""), "")
		}},
		{"a file variable that is empty vouches for nothing", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "a")
			w.setenv(w.p.FileVariable, "")
			wantRenewed(t, w.resolver(compat), a, "")
		}},
		{"what the descriptor variable holds keeps no one from the file that vouches", func(t *testing.T, w *world, compat bool) {
			for _, refused := range []string{"opaque", jwt(`{"iss":"i","sub":"s","exp":99999999999}`)} {
				w.setenv(w.p.TokenVariable, refused)
				w.setenv(w.p.DescriptorVariable, "abc")
				w.rename(w.fileVariable(), "in file")
				wantRenewed(t, w.resolver(compat), newToken(t, refused, ""), "in file")
			}
		}},
		{"it waits for no file that it does not look at", func(t *testing.T, w *world, compat bool) {
			w.rename(w.p.File, "in file")
			r := w.resolver(compat)
			wantToken(t, r, "in file")
			w.setenv(w.p.TokenVariable, "a")
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // whoever waits learns of that
			if got, err := r.Renew(ctx, a); !errors.Is(err, ingressauth.ErrNoToken) {
				t.Errorf("Renew: %v, %v", got, err)
			}
		}},
		{"an update to what was refused is believed", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "a")
			w.write(w.fileVariable(), "b")
			r := w.resolver(compat)
			wantRenewed(t, r, a, "b")
			wantToken(t, r, "b")
			if err := r.Update("a"); err != nil {
				t.Fatal(err)
			}
			wantToken(t, r, "a")
		}},
		{"it waits for a file that is being written", func(t *testing.T, w *world, compat bool) {
			path := w.fileVariable()
			w.write(path, "a")
			r := w.resolver(compat)
			wantToken(t, r, "a")
			w.write(path, "b")
			wantRenewed(t, r, a, "b")
		}},
		{"also when it is held up meanwhile", func(t *testing.T, w *world, compat bool) {
			path := w.fileVariable()
			w.rename(path, "a")
			r := w.resolver(compat)
			var late atomic.Bool
			r.Now = func() time.Time {
				if late.CompareAndSwap(true, false) {
					time.Sleep(250 * time.Millisecond) // longer than it would wait
				}
				return time.Now()
			}
			wantToken(t, r, "a")
			w.write(path, "b")
			late.Store(true)
			wantRenewed(t, r, a, "b")
		}},
		{"and no longer than its context", func(t *testing.T, w *world, compat bool) {
			path := w.fileVariable()
			w.write(path, "a")
			r := w.resolver(compat)
			wantToken(t, r, "a")
			w.write(path, "b")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if got, err := r.Renew(ctx, a); !errors.Is(err, context.Canceled) {
				t.Errorf("Renew: %v, %v", got, err)
			}
		}},
	})
}

// wantHeader checks a resolver's header, and returns it.
func wantHeader(t testing.TB, r *ingressauth.Resolver, want http.Header) http.Header {
	t.Helper()
	got, err := r.Header(context.Background())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Header: %v (-want +got):\n%s", err, diff)
	}
	return got
}
