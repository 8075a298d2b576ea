package inprocess

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestGivenUp has a request be given up, and the handler be done without a word at the same
// moment: that is no answer.
func TestGivenUp(t *testing.T) {
	for range 10_000 {
		ctx, cancel := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://issuer.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel() })
		if response, err := (Transport{handler}).RoundTrip(request); !errors.Is(err, context.Canceled) {
			t.Fatal(response, err)
		}
	}
}

// TestEndedBefore sends nothing for a request that was given up before, and closes its body.
func TestEndedBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := &closing{Reader: strings.NewReader("x")}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://issuer.example", body)
	if err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	if response, err := (Transport{handler}).RoundTrip(request); !errors.Is(err, context.Canceled) || !body.closed {
		t.Error(response, err, body.closed)
	}
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}
