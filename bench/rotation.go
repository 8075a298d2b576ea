package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
	"github.com/ingressauth/ingressauth/launch"
)

const (
	rotations = 1000
	// rotationTime bounds how long a rotation is waited for.
	rotationTime = 20 * time.Second
	// rotationBudget is for the 99th percentile.
	rotationBudget = 5 * time.Millisecond
)

// childVariable makes this program a child that sends requests to the URL in it, one after
// the other, until its standard input ends.
const childVariable = "INGRESSAUTH_BENCH_SERVICE"

func sendRequests(service string) error {
	resolver := &ingressauth.Resolver{Profile: profile}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, &control.Reader{Resolver: resolver})
		close(ended)
	}()
	client := &http.Client{Transport: &ingressauth.Transport{Source: resolver, Origins: []string{service}}}
	for {
		select {
		case <-ended:
			return nil
		default:
		}
		response, err := client.Get(service)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
}

// rotate measures how long it takes from a rotation until the child's next request with the
// new token is here, and prints rows of the table.
func rotate(dir, command string) error {
	for _, way := range []struct {
		what    string
		deliver launch.Delivery
		between bool // ingressauth run stands between
	}{
		{"`launch`, control channel", launch.Environment, false},
		{"`launch`, file", launch.File, false},
		{"`ingressauth run --from control`, control channel", launch.Environment, true},
		{"`ingressauth run --from control`, file", launch.File, true},
	} {
		took, err := rotationTimes(dir, command, way.deliver, way.between, rotations)
		if err != nil {
			return fmt.Errorf("%s: %w", way.what, err)
		}
		slices.Sort(took)
		p99 := took[len(took)*99/100]
		fmt.Printf("| rotation to the child's next request with the new token, p99: %s | | %.1f ms (median %.1f) | ≤ 5 ms | | | %s |\n",
			way.what, p99.Seconds()*1e3, took[len(took)/2].Seconds()*1e3, verdictOf(p99 <= rotationBudget))
	}
	return nil
}

// rotationTimes rotates a child's token n times.
func rotationTimes(dir, command string, deliver launch.Delivery, between bool, n int) (took []time.Duration, err error) {
	tokens := make(chan string, 1)
	newest := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// One connection, so one request at a time.
		if got := r.Header.Get("Authorization"); got != newest {
			newest = got
			tokens <- got
		}
	}))
	defer server.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := ownRuntimeDir(dir); err != nil {
		return nil, err
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childVariable+"="+server.URL)
	child.Stderr = os.Stderr
	first, err := ingressauth.NewToken("token-0", "")
	if err != nil {
		return nil, err
	}
	cmd := &launch.Cmd{Command: child, Token: first, Deliver: []launch.Delivery{deliver}, Profile: profile}
	if between {
		names := filepath.Join(dir, "profile.json")
		if err := writeProfile(names); err != nil {
			return nil, err
		}
		child.Path, child.Args = command, []string{command, "run", "--profile", names, "--from", "control", "--deliver", string(deliver), "--", self}
		cmd.Deliver = []launch.Delivery{launch.Environment}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		in.Close()
		err = errors.Join(err, cmd.Wait())
	}()
	for i := range n + 1 {
		want := fmt.Sprintf("Bearer token-%d", i)
		begun := time.Now()
		if i > 0 {
			t, err := ingressauth.NewToken(fmt.Sprintf("token-%d", i), "")
			if err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(context.Background(), rotationTime)
			err = cmd.Rotate(ctx, t)
			cancel()
			if err != nil {
				return nil, err
			}
		}
		select {
		case got := <-tokens:
			if got != want {
				return nil, fmt.Errorf("a request had %q, where %q was next", got, want)
			}
		case <-time.After(rotationTime):
			return nil, fmt.Errorf("no request had token %d", i)
		}
		if i > 0 {
			took = append(took, time.Since(begun))
		}
		time.Sleep(rand.N(3 * time.Millisecond)) // so that no rhythm helps or harms
	}
	return took, nil
}

func writeProfile(path string) error {
	text, err := json.Marshal(profile)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// ownRuntimeDir has token files be made in a directory of the measurement's own.
func ownRuntimeDir(dir string) error {
	dir = filepath.Join(dir, "run")
	os.Setenv("XDG_RUNTIME_DIR", dir)
	return os.MkdirAll(dir, 0o700)
}
