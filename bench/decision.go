package main

import (
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

// installed returns whether a program is there. What needs it is left out otherwise, but in
// CI, where nothing may be.
func installed(program, what string) (bool, error) {
	_, err := exec.LookPath(program)
	if err == nil {
		return true, nil
	}
	err = fmt.Errorf("%s is not installed", program)
	if os.Getenv("CI") == "true" {
		return false, err
	}
	fmt.Fprintf(os.Stderr, "bench: %s left out: %v\n", what, err)
	return false, nil
}

// decide measures a service that answers whether a request may pass, under the load of wrk,
// beside the same service that verifies nothing, and prints rows of the table.
func decide() error {
	if ok, err := installed("wrk", "decisions are"); !ok {
		return err
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
	// who returns the principal of a request, or where nothing is verified, always the same.
	answer := func(who func(*http.Request) *verify.Principal) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Auth-User", who(r).Subject)
			w.WriteHeader(http.StatusAccepted)
		})
	}
	guard := &verify.Guard{Verifier: v}
	handlers := []http.Handler{
		guard.Handler(answer(func(r *http.Request) *verify.Principal {
			p, _ := verify.PrincipalFrom(r.Context())
			return p
		})),
		answer(func(*http.Request) *verify.Principal { return &verify.Principal{Subject: "user-123456"} }),
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) }),
	}
	var urls []string
	for _, h := range handlers {
		url, end, err := serve(h)
		if err != nil {
			return err
		}
		defer end()
		urls = append(urls, url)
	}
	token := s.Token(benchClaims(time.Now()))
	var same, bare []float64 // ratios
	for range loadRounds {
		var rates [3]float64
		for i, url := range urls {
			if _, rates[i], err = load(url, token, 32); err != nil {
				return err
			}
		}
		same, bare = append(same, rates[0]/rates[1]), append(bare, rates[0]/rates[2])
	}
	r := spreadOf(same)
	fmt.Printf("| decisions a second by `net/http` and `Guard` | the same handler, which verifies nothing | %v | ≥ 0.9 | | | %s |\n", r, verdictOf(r.median >= 0.9))
	fmt.Printf("| the same | one that verifies nothing, and sets no field of the answer | %v | | | | |\n", spreadOf(bare))
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

var wrkCounts = regexp.MustCompile(`([1-9][0-9]*) requests in(?s:.*)Requests/sec: +([0-9.]+)`)

// load returns how many requests a server answers in a turn, all with a status of 2xx, and
// how many a second.
func load(url, bearer string, connections int) (requests, rate float64, err error) {
	out, err := exec.Command("wrk", "-t1", fmt.Sprintf("-c%d", connections), "-d"+loadLength, "-H", "Authorization: Bearer "+bearer, url).CombinedOutput()
	m := wrkCounts.FindSubmatch(out)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, out)
	case m == nil, regexp.MustCompile(`Non-2xx|Socket errors`).Match(out):
		return 0, 0, fmt.Errorf("wrk: %s", out)
	}
	if requests, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
		return 0, 0, err
	}
	rate, err = strconv.ParseFloat(string(m[2]), 64)
	return requests, rate, err
}
