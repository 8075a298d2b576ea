package ingressauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/ingressauth/ingressauth"
)

func init() {
	// For the examples: what a session's parent process would have set.
	os.Setenv("EXAMPLE_TOKEN", "made-up")
}

// A program that sends a request asks for the header anew each time: the token may
// have been replaced.
func Example() {
	resolver := &ingressauth.Resolver{ // most programs take &ingressauth.Default
		Profile: ingressauth.Profile{TokenVariable: "EXAMPLE_TOKEN"},
	}
	token, err := resolver.Token(context.Background())
	if errors.Is(err, ingressauth.ErrNoToken) {
		fmt.Println("not in a session:", err)
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := http.NewRequest("GET", "https://service.example/", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	token.SetHeader(request.Header)
	fmt.Println(len(request.Header.Get("Authorization")), "bytes, of", token)
	// Output: 14 bytes, of bearer:da53422a
}

// A token shows its scheme and its fingerprint wherever it is printed.
func ExampleToken() {
	token, err := ingressauth.NewToken("sk-ant-sid01-made-up", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v %q\n", token, token)
	// Output: session-key:18d42ff1 session-key:18d42ff1
}

// When a server refuses a token, Renew finds another, or says that there is none.
func ExampleResolver_Renew() {
	resolver := &ingressauth.Resolver{Profile: ingressauth.Profile{TokenVariable: "EXAMPLE_TOKEN"}}
	refused, err := resolver.Token(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := resolver.Update("a newer one"); err != nil { // as a parent's message would
		fmt.Println(err)
		return
	}
	defer resolver.Update("made-up")
	renewed, err := resolver.Renew(context.Background(), refused)
	fmt.Println(renewed != refused, err)
	// Output: true <nil>
}
