package ingressauth_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/ingressauth/ingressauth"
)

// A client whose requests to one service carry the current token, also after it was
// replaced. Requests to other services carry none.
func ExampleTransport() {
	client := &http.Client{Transport: &ingressauth.Transport{
		Origins: []string{"https://service.example"}, // scheme, host, port; nowhere else
	}}
	response, err := client.Get("https://service.example/")
	if errors.Is(err, ingressauth.ErrNoToken) {
		log.Print("not in a session: ", err) // it says where it looked
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
}

// Where a [ingressauth.Transport] does not fit, ask for the token for each request,
// since it may have been replaced.
func Example() {
	ctx := context.Background()
	request, err := http.NewRequestWithContext(ctx, "GET", "https://service.example/", nil)
	if err != nil {
		log.Fatal(err)
	}

	token, err := ingressauth.Default.Token(ctx)
	if err != nil {
		log.Fatal(err)
	}
	token.SetHeader(request.Header)   // takes away what another token left there
	log.Print("sending with ", token) // "bearer:1a2b3c4d": scheme and fingerprint
}

// For one header there is a shorter way.
func ExampleResolver_Header() {
	header, err := ingressauth.Default.Header(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(header)) // 0 where there is no token
}

// When a server refuses a token, Renew finds another, or says that there is none.
func ExampleResolver_Renew() {
	const variable = "EXAMPLE_TOKEN" // of a profile, to leave this session alone
	os.Setenv(variable, "made-up")
	defer os.Unsetenv(variable)

	resolver := &ingressauth.Resolver{Profile: ingressauth.Profile{TokenVariable: variable}}
	refused, err := resolver.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	// A parent sent another one over some channel of the program's.
	if err := resolver.Update("newer"); err != nil {
		log.Fatal(err)
	}
	renewed, err := resolver.Renew(context.Background(), refused)
	fmt.Println(refused, renewed, err)
	// Output: bearer:da53422a bearer:804f51f7 <nil>
}

// A token shows its scheme and its fingerprint wherever it is printed.
func ExampleToken() {
	token, err := ingressauth.NewToken("sk-ant-sid01-made-up", "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v %q\n", token, token)
	// Output: session-key:18d42ff1 session-key:18d42ff1
}
