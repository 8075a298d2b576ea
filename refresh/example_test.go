package refresh_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
)

// A client of a service that takes tokens from an authorization server, which are renewed before
// they end.
func ExampleEndpoint() {
	source := &refresh.Endpoint{
		URL:        "https://issuer.example/token",
		Auth:       refresh.ClientSecretBasic("client-1", readSecret),
		Parameters: url.Values{"scope": {"sessions"}},
	}
	tokens, err := refresh.New(refresh.Config{Source: source, Log: slog.Default()})
	if err != nil {
		log.Fatal(err)
	}
	defer tokens.Close()
	client := &http.Client{Transport: &ingressauth.Transport{
		Source:  tokens,
		Origins: []string{"https://service.example"},
	}}
	client.CloseIdleConnections()
}

// The session's token, as it is found each time, in exchange for one that a service takes.
func ExampleEndpoint_exchange() {
	source := &refresh.Endpoint{
		URL:        "https://issuer.example/token",
		Subject:    &ingressauth.Default,
		Parameters: url.Values{"audience": {"https://service.example"}},
	}
	tokens, err := refresh.New(refresh.Config{Source: source})
	if err != nil {
		log.Fatal(err)
	}
	defer tokens.Close()
}

// A program that prints a token each time, which is run every quarter of an hour or so.
func ExampleCommand() {
	source := &refresh.Command{Args: []string{"sh", "-c", "echo made-up"}, Log: slog.Default()}
	tokens, err := refresh.New(refresh.Config{Source: source, Interval: 15 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer tokens.Close()
	token, err := tokens.Token(context.Background())
	fmt.Println(token.Reveal(), err)
	// Output: made-up <nil>
}

// Whoever hands tokens on learns of each new one, or of the newest since the last time.
func ExampleRefresher_State() {
	tokens, err := refresh.New(refresh.Config{Source: ingressauth.Static(exampleToken("made-up"))})
	if err != nil {
		log.Fatal(err)
	}
	defer tokens.Close()
	for generation := uint64(0); generation < 1; {
		state, changed := tokens.State()
		if state.Generation != generation {
			generation = state.Generation
			fmt.Println(generation, state.Token)
		}
		if state.Err != nil {
			fmt.Println(state.Failures, state.Err)
		}
		select {
		case <-changed:
		case <-time.After(time.Millisecond): // something else to do
		}
	}
	// Output: 1 bearer:da53422a
}

func readSecret(context.Context) (string, error) {
	b, err := os.ReadFile("/etc/client/secret")
	return strings.TrimSpace(string(b)), err
}

func exampleToken(text string) ingressauth.Token {
	t, err := ingressauth.NewToken(text, "")
	if err != nil {
		log.Fatal(err)
	}
	return t
}
