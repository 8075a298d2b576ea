package ingressauth_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
)

// TestUpdateVariablesTogether has session keys and their organisations replaced
// under readers, none of whom may see one's organisation with the other.
func TestUpdateVariablesTogether(t *testing.T) {
	w := newWorld(t)
	// A text that goes to and fro is what a reader could mistake for no change.
	update := func(r *ingressauth.Resolver, i int) {
		if err := r.UpdateVariables(map[string]string{
			w.p.TokenVariable:        fmt.Sprintf("sk-ant-sid-%d", i%2),
			w.p.OrganizationVariable: fmt.Sprintf("organisation-%d", i%2),
		}); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { os.Unsetenv(w.p.TokenVariable); os.Unsetenv(w.p.OrganizationVariable) })
	writer, readers := w.resolver(false), []*ingressauth.Resolver{w.resolver(false), w.resolver(true)}
	update(writer, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for _, r := range append(readers, writer) {
		all.Go(func() {
			for ctx.Err() == nil {
				token, err := r.Token(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				text := token.Reveal()
				if token.Organization() != "organisation-"+text[len(text)-1:] {
					t.Errorf("%s is with %s", text, token.Organization())
				}
			}
		})
	}
	for i := 0; ctx.Err() == nil; i++ {
		update(writer, i)
	}
	all.Wait()
}

// TestUpdateVariablesAllOrNone has updates that are refused, and change nothing.
func TestUpdateVariablesAllOrNone(t *testing.T) {
	w := newWorld(t)
	r := w.resolver(false)
	w.setenv(w.p.TokenVariable, "old")
	w.setenv("A_TEST_VARIABLE", "old")
	for what, variables := range map[string]map[string]string{
		"a line break in the token":        {w.p.TokenVariable: "a\nb"},
		"white space for a token":          {w.p.TokenVariable: " \n"},
		"a NUL in the token":               {w.p.TokenVariable: "a\x00b"},
		"a token that is too long":         {w.p.TokenVariable: strings.Repeat("a", 64<<10+1)},
		"a line break in the organisation": {w.p.TokenVariable: "new", w.p.OrganizationVariable: "a\nb"},
		"a NUL in another variable":        {w.p.TokenVariable: "new", "B_TEST_VARIABLE": "\x00"},
		"a variable without a name":        {w.p.TokenVariable: "new", "": "x"},
		"a name with =":                    {w.p.TokenVariable: "new", "A=B": "x"},
	} {
		variables["A_TEST_VARIABLE"] = "new"
		err := r.UpdateVariables(variables)
		if err == nil {
			t.Errorf("%s: no error", what)
		} else if strings.Contains(err.Error(), variables[w.p.TokenVariable]) && variables[w.p.TokenVariable] != "new" {
			t.Errorf("%s: the error shows it: %v", what, err)
		}
		wantToken(t, r, "old")
		if got := os.Getenv("A_TEST_VARIABLE"); got != "old" {
			t.Errorf("%s: another variable of it was set", what)
		}
	}
	if err := r.UpdateVariables(map[string]string{w.p.TokenVariable: "new\n", "A_TEST_VARIABLE": ""}); err != nil {
		t.Error(err)
	}
	wantToken(t, r, "new")
	if value, set := os.LookupEnv("A_TEST_VARIABLE"); value != "" || !set {
		t.Error("a variable that was set to nothing is not set at all")
	}
	if err := r.UpdateVariables(map[string]string{w.p.TokenVariable: ""}); err != nil {
		t.Error(err)
	}
	if _, set := os.LookupEnv(w.p.TokenVariable); set {
		t.Error("the token variable is set to nothing, and was to be cleared")
	}
}

// TestRenewWaits has servers that know of a rotation before this process does.
func TestRenewWaits(t *testing.T) {
	const long = time.Minute // longer than the test may take
	for _, compat := range []bool{false, true} {
		w := newWorld(t)
		r, other := w.resolver(compat), w.resolver(compat)
		r.RenewWait = long
		w.setenv(w.p.TokenVariable, "a")
		wantToken(t, r, "a")
		answer := make(chan string)
		renew := func(refused string) {
			go func() {
				token, err := r.Renew(t.Context(), newToken(t, refused, ""))
				answer <- fmt.Sprint(token.Reveal(), err)
			}()
			time.Sleep(3 * time.Millisecond) // it should wait by then; if not, the answer is the same
		}
		renew("a")
		if err := other.Update("b"); err != nil { // of another resolver, but the same variable
			t.Fatal(err)
		}
		if got := <-answer; got != "b<nil>" {
			t.Errorf("compat %v: after an update: %s", compat, got)
		}
		renew("b")
		if err := errors.Join(r.Update(""), r.Update("c")); err != nil { // none for a while
			t.Fatal(err)
		}
		if got := <-answer; got != "c<nil>" {
			t.Errorf("compat %v: after two updates: %s", compat, got)
		}
		renew("c")
		w.setenv(w.p.TokenVariable, "d") // past Update
		if got := <-answer; got != "d<nil>" {
			t.Errorf("compat %v: after Setenv: %s", compat, got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Millisecond, cancel)
		if _, err := r.Renew(ctx, newToken(t, "d", "")); !errors.Is(err, context.Canceled) {
			t.Errorf("compat %v: with a context that ends: %v", compat, err)
		}
		r.RenewWait = 30 * time.Millisecond
		begun := time.Now()
		_, err := r.Renew(t.Context(), newToken(t, "d", ""))
		if took := time.Since(begun); !errors.Is(err, ingressauth.ErrNoToken) || took < r.RenewWait {
			t.Errorf("compat %v: after %v: %v", compat, took, err)
		}
	}

	w := newWorld(t)
	r := w.resolver(false)
	r.RenewWait = long
	path := w.fileVariable()
	w.rename(path, "a")
	wantToken(t, r, "a")
	time.AfterFunc(3*time.Millisecond, func() { w.rename(path, "b") })
	if token, err := r.Renew(t.Context(), newToken(t, "a", "")); err != nil || token.Reveal() != "b" {
		t.Errorf("the file was replaced: %v, %v", token, err)
	}
}
