package verify_test

import (
	"context"
	"expvar"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/ingressauth/ingressauth/verify"
)

// A service that only sessions of one self-hosted environment may call.
func Example() {
	keys, err := verify.NewRemoteKeySet(verify.RemoteConfig{URL: verify.ClaudeCodeKeysURL})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	issuer, err := verify.ClaudeCode("ccpool_0123456789")
	if err != nil {
		log.Fatal(err)
	}
	issuer.Keys = keys
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{issuer}})
	if err != nil {
		log.Fatal(err)
	}

	guard := &verify.Guard{
		Verifier: verifier,
		OnRefusal: func(r *http.Request, refusal *verify.Refusal) {
			log.Printf("%q: %v", r.URL.Path, refusal) // the reason and the issuer, and nothing of the token
		},
	}
	http.Handle("/", guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		principal, _ := verify.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "hello %s of %s\n", principal.Session, principal.Organization)
	})))
	log.Print(http.ListenAndServe("localhost:8080", nil))
}

// Only sessions of one organisation pass, and to change something, only those that a human
// has started.
func ExamplePolicy() {
	reads := func(_ *verify.Principal, r *http.Request) bool { return r.Method == http.MethodGet }
	policy := verify.AllOf(
		verify.InOrganization("org-1"),
		verify.AnyOf(reads, verify.CreatedBy(verify.User)),
	)

	get, post := httptest.NewRequest("GET", "/", nil), httptest.NewRequest("POST", "/", nil)
	agent := &verify.Principal{Organization: "org-1", Creator: verify.Creator{Kind: verify.Agent}}
	other := &verify.Principal{Organization: "org-2", Creator: verify.Creator{Kind: verify.User}}
	fmt.Println(policy(agent, get), policy(agent, post), policy(other, get))
	// Output: true false false
}

// What happens to a key set, as a metric and in a log.
func ExampleRemoteConfig() {
	counts := expvar.NewMap("key_events")
	keys, err := verify.NewRemoteKeySet(verify.RemoteConfig{
		URL: "https://issuer.example/jwks.json",
		OnEvent: func(e verify.KeyEvent) {
			counts.Add(string(e.Kind), 1)
			if e.Kind != verify.KeysFetched || e.Changed {
				log.Print(e.URL, ": ", e)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
}

// An issuer of one's own, whose tokens must have a claim of a certain value.
func ExampleIssuer() {
	keys, err := verify.NewKeySet([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1",
		"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`), nil)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{{
		Issuer:     "https://issuer.example",
		Audiences:  []string{"https://service.example"},
		Algorithms: []verify.Algorithm{verify.EdDSA},
		Claims:     map[string]string{"role": "worker"},
		Keys:       keys,
	}}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = verifier.Verify(context.Background(), "not a token")
	fmt.Println(err)
	// Output: the credential is refused: malformed
}
