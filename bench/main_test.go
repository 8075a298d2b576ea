package main

import (
	"net/http"
	"os"
	"runtime"
	"testing"

	"github.com/ingressauth/ingressauth/launch"
)

// TestCases runs what is measured once, so that the measurement cannot rot.
func TestCases(t *testing.T) {
	cases, err := finding(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cases = append(cases, sending()...)
	more, err := verifying()
	if err != nil {
		t.Fatal(err)
	}
	cases = append(cases, more...)
	for _, n := range []int{1, 1000} {
		c, err := keeping(n)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, *c)
	}
	for _, c := range cases {
		if c.prepare != nil {
			c.prepare()
		}
		if c.setup != nil {
			if err := c.setup(); err != nil {
				t.Fatal(err)
			}
		}
		c.reference()
		c.do() // it panics where it finds no token, or refuses one
		if n := c.allocates(); c.ratio+c.nanoseconds > 0 && n > c.allocations {
			t.Errorf("%s: %v allocations, of %v", c.what, n, c.allocations)
		}
	}
	for _, v := range []string{profile.TokenVariable, profile.FileVariable, profile.OrganizationVariable} {
		os.Unsetenv(v)
	}
}

func TestSpread(t *testing.T) {
	sample := make([]float64, 101)
	for i := range sample {
		sample[i] = float64(100 - i)
	}
	if got, want := spreadOf(sample), (spread{50, 10, 90}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestMain(m *testing.M) {
	if work := asChild(); work != nil {
		if err := work(); err != nil {
			panic(err)
		}
		return
	}
	m.Run()
}

// TestRotations has a few, so that their measurement cannot rot.
func TestRotations(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("nobody has tried it there")
	}
	for _, deliver := range []launch.Delivery{launch.Environment, launch.File} {
		took, err := rotationTimes(t.TempDir(), "", deliver, false, 10)
		if err != nil || len(took) != 10 {
			t.Errorf("%s: %v %v", deliver, took, err)
		}
	}
}

// TestProxies has the other proxies pass a request on, so that what they are told cannot rot.
func TestProxies(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU time is read from /proc")
	}
	if ok, err := installed("nginx", "proxies are"); err != nil {
		t.Fatal(err)
	} else if !ok {
		t.Skip("nginx is not installed")
	}
	dir := t.TempDir()
	backend, err := startBackend(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(backend.end)
	proxies, err := startReferences(dir, backend.url)
	for _, p := range proxies {
		t.Cleanup(p.end)
	}
	if err != nil {
		t.Fatal(err)
	}
	// status is that of the answer to a request with a token of no worth.
	status := func(s *server) int {
		r, err := http.NewRequest("GET", s.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+s.bearer)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := status(backend); got != http.StatusUnauthorized {
		t.Errorf("backend: %d", got)
	}
	for _, p := range proxies {
		if got := status(p); got != http.StatusOK {
			t.Errorf("%s: %d", p.name, got)
		}
	}
	if pids, _, err := family(backend.cmd.Process.Pid); err != nil || len(pids) != 2 {
		t.Errorf("the backend and its worker are %d: %v", pids, err)
	}
}
