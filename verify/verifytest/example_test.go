package verifytest_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// hello is a handler that is to be tested.
func hello(w http.ResponseWriter, r *http.Request) {
	principal, _ := verify.PrincipalFrom(r.Context())
	fmt.Fprintf(w, "hello %s of %s", principal.Session, principal.Organization)
}

// A handler's test says who sent a request, and signs nothing.
func ExampleRequest() {
	w := httptest.NewRecorder()
	hello(w, verifytest.Request(&verify.Principal{Session: "session_1", Organization: "org-1"}, "GET", "/", nil))
	fmt.Println(w.Body)
	// Output: hello session_1 of org-1
}

// A test of all of it has an issuer of its own.
func Example() {
	signer := verifytest.NewSigner(verify.ES256, "key-1")
	server := verifytest.NewKeyServer(signer)
	defer server.Close()

	keys, err := verify.NewRemoteKeySet(verify.RemoteConfig{URL: server.URL})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close()
	issuer, err := verify.ClaudeCode("ccpool_test")
	if err != nil {
		log.Fatal(err)
	}
	issuer.Keys = keys
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{issuer}})
	if err != nil {
		log.Fatal(err)
	}
	guard := &verify.Guard{Verifier: verifier}

	send := func(claims verifytest.Claims) {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer sk-ant-cc-"+signer.Token(claims))
		guard.Handler(http.HandlerFunc(hello)).ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	session := verifytest.Session("ccpool_test", time.Now())
	send(session)
	send(session.With("ccr:role", "another"))
	// Output:
	// 200 hello session_1 of org-1
	// 401 {"status":401,"title":"Unauthorized","reason":"claim"}
}
