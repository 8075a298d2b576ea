package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// Rounds of load, each as long for the guarded handler as for the other.
const (
	loadRounds = 15
	loadLength = "1s"
)

var errNoWrk = errors.New("wrk is not installed")

// decide measures a service that answers whether a request may pass, under the load of wrk,
// beside the same service that verifies nothing, and prints a row of the table.
func decide() error {
	if _, err := exec.LookPath("wrk"); err != nil {
		if os.Getenv("CI") == "true" {
			return errNoWrk
		}
		fmt.Fprintln(os.Stderr, "bench: decisions are left out: ", errNoWrk)
		return nil
	}
	s := verifytest.NewSigner(verify.EdDSA, "key-1")
	keys, err := verify.NewKeySet(verifytest.JWKS(s.JWK()), nil)
	if err != nil {
		return err
	}
	v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: benchIssuer, Audiences: []string{benchAudience}, Keys: keys}}})
	if err != nil {
		return err
	}
	accept := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })
	guard := &verify.Guard{Verifier: v}
	guarded := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := verify.PrincipalFrom(r.Context()); ok {
			w.Header().Set("X-Auth-User", p.Subject)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	floor, closeFloor, err := serve(accept)
	if err != nil {
		return err
	}
	defer closeFloor()
	ours, closeOurs, err := serve(guarded)
	if err != nil {
		return err
	}
	defer closeOurs()
	token := s.Token(benchClaims(time.Now()))
	ratios := make([]float64, loadRounds)
	for i := range ratios {
		reference, err := load(floor, token)
		if err != nil {
			return err
		}
		rate, err := load(ours, token)
		if err != nil {
			return err
		}
		ratios[i] = rate / reference
	}
	r := spreadOf(ratios)
	fmt.Printf("| decisions a second by `net/http` and `Guard` | the same handler, which verifies nothing | %v | ≥ 0.9 | | | %s |\n", r, verdictOf(r.median >= 0.9))
	return nil
}

// serve serves h on loopback.
func serve(h http.Handler) (url string, end func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h}
	go server.Serve(l) // until it is closed
	return "http://" + l.Addr().String(), server.Close, nil
}

var wrkRate = regexp.MustCompile(`Requests/sec: +([0-9.]+)`)

// load returns how many requests a second a server answers, all with a status of 2xx.
func load(url, token string) (float64, error) {
	out, err := exec.Command("wrk", "-t1", "-c32", "-d"+loadLength, "-H", "Authorization: Bearer "+token, url).CombinedOutput()
	m := wrkRate.FindSubmatch(out)
	switch {
	case err != nil:
		return 0, fmt.Errorf("wrk: %w: %s", err, out)
	case m == nil, regexp.MustCompile(`Non-2xx|Socket errors`).Match(out):
		return 0, fmt.Errorf("wrk: %s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}
