package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth/verify"
)

// Bounds on a key set that is fetched.
const (
	fetchTimeout   = 10 * time.Second
	fetchRedirects = 3
	fetchSize      = 1 << 20
)

// loadKeys returns the key set in a file, which is followed, or at a URL. Its errors do
// not show what was named, as that may be a token.
func loadKeys(ctx context.Context, where string) (verify.KeySet, error) {
	if strings.Contains(where, "://") {
		text, err := fetch(ctx, where)
		if err != nil {
			return nil, err
		}
		return verify.NewKeySet(text, nil)
	}
	set, err := verify.NewFileKeySet(where, nil)
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		err = named.Err
	}
	return set, err
}

// fetch returns what is at a URL, and wherever that redirects to, over TLS or from
// this machine.
func fetch(ctx context.Context, address string) ([]byte, error) {
	target, err := url.Parse(address)
	if err != nil || !isTrustworthy(target) {
		return nil, errors.New("it is fetched from https:// alone, or from this machine")
	}
	client := &http.Client{
		Timeout: fetchTimeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) > fetchRedirects:
				return fmt.Errorf("more than %d redirects", fetchRedirects)
			case !isTrustworthy(r.URL):
				return errors.New("a redirect to what is neither https:// nor this machine")
			}
			return nil
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if named, ok := errors.AsType[*url.Error](err); ok {
		err = named.Err
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, fetchSize+1))
	if err != nil {
		return nil, err
	}
	return text, nil // of what is too long NewKeySet says so
}

// isTrustworthy reports whether what comes from a URL is from the host that it names.
func isTrustworthy(u *url.URL) bool {
	host := u.Hostname()
	switch u.Scheme {
	case "https":
		return host != ""
	case "http":
		return host == "localhost" || net.ParseIP(host).IsLoopback()
	}
	return false
}
