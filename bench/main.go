// Command bench measures the project's budgets beside their references, and prints
// a table of ratios in Markdown.
//
//	go run ./bench
//
// Times on a shared machine say little. So a measurement and its reference take
// turns, a few milliseconds each; every turn gives a ratio, and the table has their
// median and the range from the 10th to the 90th percentile.
package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"golang.org/x/oauth2"
)

const (
	turns      = 200
	turnLength = 2 * time.Millisecond
	starts     = 200
)

// profile keeps the measurement away from this machine's own session.
var profile = ingressauth.Profile{
	TokenVariable:        "INGRESSAUTH_BENCH_TOKEN",
	DescriptorVariable:   "INGRESSAUTH_BENCH_DESCRIPTOR",
	FileVariable:         "INGRESSAUTH_BENCH_FILE",
	File:                 "/nonexistent/ingressauth-bench",
	RemoteVariable:       "INGRESSAUTH_BENCH_REMOTE",
	OrganizationVariable: "INGRESSAUTH_BENCH_ORGANIZATION",
}

func main() {
	work := asChild()
	if work == nil {
		work = run
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// asChild returns what this program does where it was started by itself, and nil elsewhere.
func asChild() func() error {
	if service := os.Getenv(childVariable); service != "" {
		return func() error { return sendRequests(service) }
	}
	if address := os.Getenv(proxyVariable); address != "" {
		return func() error { return proxy(address, os.Args[1]) }
	}
	return nil
}

func run() error {
	dir, err := os.MkdirTemp("", "ingressauth-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cases, err := finding(dir)
	if err != nil {
		return err
	}
	cases = append(cases, sending()...)
	renewed, refresher, err := renewing()
	if err != nil {
		return err
	}
	defer refresher.Close()
	cases = append(cases, renewed)
	more, err := verifying()
	if err != nil {
		return err
	}
	cases = append(cases, more...)
	fmt.Println("| what | reference | ratio (10th to 90th percentile) | budget | allocations | budget | |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	for _, c := range cases {
		if err := c.measure(); err != nil {
			return err
		}
	}
	if err := decide(); err != nil {
		return err
	}
	for _, n := range []int{1, 100_000} { // the last ones, as they fill the heap
		c, err := keeping(n)
		if err != nil {
			return err
		}
		if err := c.measure(); err != nil {
			return err
		}
	}
	command, err := coldStart(dir)
	if err != nil {
		return err
	}
	if err := relay(dir, command); err != nil {
		return err
	}
	return rotate(dir, command)
}

// budget is something to measure, its reference, and what it may cost.
type budget struct {
	what, against      string
	setup              func() error // nil: nothing to do
	prepare            func()       // before each batch, and not measured; nil: nothing to do
	do, reference      func()
	ratio, allocations float64 // at most; 0, 0: it is shown beside another, and has none
	nanoseconds        float64 // at most, in place of a ratio
	batch              int     // how often it is done between readings of the clock; 0: 1000 times
	more               bool    // allocations are counted beyond the reference's
}

// allocates is how often b allocates, as it is counted.
func (b *budget) allocates() float64 {
	n := testing.AllocsPerRun(1000, b.do)
	if b.more {
		n -= testing.AllocsPerRun(1000, b.reference)
	}
	return n
}

// measure prints a row of the table.
func (b *budget) measure() error {
	if b.setup != nil {
		if err := b.setup(); err != nil {
			return err
		}
	}
	ratios, times := b.interleave()
	r, took := spreadOf(ratios), spreadOf(times).median
	allocations := b.allocates()
	if b.setup != nil && (sinkToken.IsZero() || sinkString == "") {
		return fmt.Errorf("%s: nothing was found", b.what)
	}
	beyond := ""
	if b.more {
		beyond = " more"
	}
	ratio, most, verdict := "", "", ""
	if b.ratio > 0 {
		ratio, most = fmt.Sprintf("≤ %v", b.ratio), fmt.Sprintf("≤ %.0f%s", b.allocations, beyond)
		verdict = verdictOf(r.median <= b.ratio && allocations <= b.allocations)
	}
	if b.nanoseconds > 0 {
		ratio, most = fmt.Sprintf("%.0f ns ≤ %.0f ns", took, b.nanoseconds), fmt.Sprintf("≤ %.0f", b.allocations)
		verdict = verdictOf(took <= b.nanoseconds && allocations <= b.allocations)
	}
	fmt.Printf("| %s | %s | %v | %s | %.0f%s | %s | %s |\n", b.what, b.against, r, ratio, allocations, beyond, most, verdict)
	return nil
}

// What is found goes here, so that the compiler cannot drop the finding.
var (
	sinkToken  ingressauth.Token
	sinkString string
)

// endingJWT ends in the year 2100. Its payload was encoded by hand from
// {"iss":"ccr","sub":"ccr:session:1","exp":4102444800}.
const endingJWT = "sk-ant-cc-eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJjY3IiLCJzdWIiOiJjY3I6c2Vzc2lvbjoxIiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2lnbmF0dXJl"

func finding(dir string) ([]budget, error) {
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(endingJWT+"\n"), 0o600); err != nil {
		return nil, err
	}
	ctx := context.Background()
	variable := func(name, value string) func() error {
		return func() error { return os.Setenv(name, value) }
	}
	getenv := func() { sinkString = os.Getenv(profile.TokenVariable) }
	getBoth := func() {
		sinkString = os.Getenv(profile.TokenVariable)
		sinkString = os.Getenv(profile.OrganizationVariable)
	}
	find := func(r *ingressauth.Resolver) func() {
		return func() {
			var err error
			if sinkToken, err = r.Token(ctx); err != nil {
				panic(err)
			}
		}
	}
	set := func(r *ingressauth.Resolver, h http.Header) func() {
		return func() {
			t, err := r.Token(ctx)
			if err != nil {
				panic(err)
			}
			t.SetHeader(h)
			sinkToken = t
		}
	}
	resolver := func() *ingressauth.Resolver { return &ingressauth.Resolver{Profile: profile} }
	byFile := resolver()
	byFile.Profile.TokenVariable = "INGRESSAUTH_BENCH_UNSET"
	const oneGetenv, twoGetenv = "`os.Getenv` of a set variable", "`os.Getenv` of two set variables"
	return []budget{{
		what: "find it in the variable", against: oneGetenv, setup: variable(profile.TokenVariable, "opaque-token"),
		do: find(resolver()), reference: getenv, ratio: 2,
	}, {
		what: "find it in the variable, a JWT that ends", against: oneGetenv, setup: variable(profile.TokenVariable, endingJWT),
		do: find(resolver()), reference: getenv, ratio: 2,
	}, {
		what: "find it in the file, the variable not being set", against: oneGetenv, setup: variable(profile.FileVariable, file),
		do: find(byFile), reference: getenv, ratio: 2,
	}, {
		what: "find it and set the header, in an empty one", against: oneGetenv, setup: variable(profile.TokenVariable, endingJWT),
		do: set(resolver(), http.Header{}), reference: getenv, ratio: 3.5, allocations: 1,
	}, {
		what: "find it and set the header, beside three other fields", against: oneGetenv, setup: variable(profile.TokenVariable, endingJWT),
		do:        set(resolver(), http.Header{"Accept": {"application/json"}, "User-Agent": {"bench"}, "X-Request-Id": {"1"}}),
		reference: getenv, ratio: 3.5, allocations: 1,
	}, {
		what: "find it and set the headers of a session key, in an empty one", against: twoGetenv, setup: func() error {
			os.Setenv(profile.OrganizationVariable, "b3b2a1a0-0000-4000-8000-000000000000")
			return os.Setenv(profile.TokenVariable, "sk-ant-sid01-opaque")
		},
		do: set(resolver(), http.Header{}), reference: getBoth, ratio: 3.5, allocations: 2,
	}}, nil
}

// sending measures Transport with a base that answers at once, so that what is left
// is its own.
func sending() []budget {
	response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	base := roundTripper(func(*http.Request) (*http.Response, error) { return response, nil })
	request := &http.Request{
		Method: "GET", URL: &url.URL{Scheme: "https", Host: "service.example", Path: "/"}, Host: "service.example",
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {"bench"}, "X-Request-Id": {"1"}},
	}
	send := func(t http.RoundTripper) func() {
		return func() {
			if _, err := t.RoundTrip(request); err != nil {
				panic(err)
			}
		}
	}
	reference := send(&oauth2.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: endingJWT}), Base: base})
	const against = "`oauth2.Transport` with a token that never changes"
	origins := []string{"https://service.example"}
	setup := func() error { return os.Setenv(profile.TokenVariable, endingJWT) }
	token, err := ingressauth.NewToken(endingJWT, "")
	if err != nil {
		panic(err) // there is nothing in it that a header could not carry
	}
	return []budget{{
		what: "`Transport`, three request headers, a token that never changes", against: against, setup: setup,
		do:        send(&ingressauth.Transport{Source: ingressauth.Static(token), Base: base, Origins: origins}),
		reference: reference, ratio: 0.65, allocations: 4,
	}, {
		what: "`Transport`, three request headers, the token found for each", against: against, setup: setup,
		do:        send(&ingressauth.Transport{Source: &ingressauth.Resolver{Profile: profile}, Base: base, Origins: origins}),
		reference: reference, ratio: 0.65, allocations: 4,
	}}
}

// roundTripper is a base that does what the function does.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// interleave has the reference and the measured take turns. It returns a ratio for each
// pair, and how long the measured took, in nanoseconds.
func (b *budget) interleave() (ratios, times []float64) {
	batch := cmp.Or(b.batch, 1000)
	timeOf := func(f func()) float64 {
		var spent time.Duration
		n := 0
		for spent < turnLength {
			if b.prepare != nil {
				b.prepare()
			}
			start := time.Now()
			for range batch {
				f()
			}
			spent += time.Since(start)
			n += batch
		}
		return float64(spent) / float64(n)
	}
	timeOf(b.reference)
	timeOf(b.do)
	for range turns {
		r := timeOf(b.reference)
		took := timeOf(b.do)
		ratios, times = append(ratios, took/r), append(times, took)
	}
	return ratios, times
}

// spread is the median of a sample and its 10th and 90th percentile.
type spread struct{ median, low, high float64 }

func spreadOf(sample []float64) spread {
	slices.Sort(sample)
	at := func(percent int) float64 { return sample[(len(sample)-1)*percent/100] }
	return spread{at(50), at(10), at(90)}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.low, s.high) }

func verdictOf(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

// coldStart measures whole processes, and returns the path of the command, which it builds.
func coldStart(dir string) (command string, err error) {
	hello, command := filepath.Join(dir, "hello"), filepath.Join(dir, "ingressauth")
	const module = "github.com/ingressauth/ingressauth"
	for _, b := range []struct{ path, module, pkg string }{
		{hello, module + "/bench", "./hello"}, {command, module, "./cmd/ingressauth"},
	} {
		where, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", b.module).Output()
		if err != nil {
			return "", fmt.Errorf("find module %s: %w", b.module, err)
		}
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", b.path, b.pkg)
		build.Dir = strings.TrimSpace(string(where))
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as README.md has it
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return "", fmt.Errorf("build %s of %s: %w", b.pkg, b.module, err)
		}
	}
	os.Setenv("CLAUDE_CODE_SESSION_ACCESS_TOKEN", "made-up")
	if err := ownRuntimeDir(dir); err != nil {
		return "", err
	}
	var tokens, runs, brokers []float64
	for range starts {
		reference, err := start([]byte("hello\n"), hello)
		if err != nil {
			return "", err
		}
		token, err := start([]byte("made-up\n"), command, "token")
		if err != nil {
			return "", err
		}
		run, err := start([]byte("hello\n"), command, "run", "--", hello)
		if err != nil {
			return "", err
		}
		broker, err := start([]byte("hello\n"), command, "run", "--deliver", "broker", "--upstream", "http://127.0.0.1:9", "--", hello)
		if err != nil {
			return "", err
		}
		tokens = append(tokens, float64(token)/float64(reference))
		runs = append(runs, float64(run)/float64(reference))
		brokers = append(brokers, float64(broker)/float64(run))
	}
	r := spreadOf(tokens)
	fmt.Printf("| `ingressauth token`, cold, stripped | Go program that prints a line, stripped | %v | ≤ 2.2 | | | %s |\n", r, verdictOf(r.median <= 2.2))
	fmt.Printf("| `ingressauth run` of that program | that program | %v | | | | |\n", spreadOf(runs))
	r = spreadOf(brokers)
	fmt.Printf("| `ingressauth run --deliver broker` of that program | `ingressauth run` of that program | %v | ≤ 2 | | | %s |\n", r, verdictOf(r.median <= 2))
	info, err := os.Stat(command)
	if err != nil {
		return "", err
	}
	megabytes := float64(info.Size()) / 1e6
	fmt.Printf("| size of `ingressauth`, stripped | | %.1f MB | ≤ 9 MB | | | %s |\n", megabytes, verdictOf(megabytes <= 9))
	return command, nil
}

// start runs a program to its end and returns how long that took. What it prints
// must be want.
func start(want []byte, name string, args ...string) (time.Duration, error) {
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	took := time.Since(begun)
	if !bytes.Equal(out.Bytes(), want) {
		return 0, fmt.Errorf("%s printed %q", filepath.Base(name), out.Bytes())
	}
	return took, nil
}
