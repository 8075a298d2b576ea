package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/verify"
)

// A service that only sessions of one self-hosted environment may call.
func Example() {
	// Fetched from verify.ClaudeCodeKeysURL, and followed when it is replaced.
	keys, err := verify.NewFileKeySet("/etc/service/jwks.json", nil)
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := verify.ClaudeCode("ccpool_0123456789")
	if err != nil {
		log.Fatal(err)
	}
	issuer.Keys = keys
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{issuer}})
	if err != nil {
		log.Fatal(err)
	}

	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		principal, err := verifier.VerifyRequest(r)
		var refusal *verify.Refusal
		switch {
		case errors.Is(err, ingressauth.ErrNoToken):
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a session token is needed", http.StatusUnauthorized)
		case errors.As(err, &refusal) && refusal.Reason == verify.KeysUnavailable:
			log.Print(err)
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		case err != nil:
			log.Print(err) // the reason and the issuer, and nothing of the token
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(w, "the session token is refused", http.StatusUnauthorized)
		default:
			fmt.Fprintf(w, "hello %s of %s\n", principal.Session, principal.Organization)
		}
	})
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
