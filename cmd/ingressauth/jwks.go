package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/verify"
)

// Bounds on how a key set is read. What is too long is refused as one.
const (
	keysTimeout   = 10 * time.Second
	keysRedirects = 3
	maxKeySet     = 1 << 20 // bytes
)

// loadKeys reads the key set in a file, or at a URL, once. Its errors do not show the
// name of the file or host, as that may be a token.
func loadKeys(ctx context.Context, where string, log *slog.Logger) (verify.KeySet, error) {
	read := readFile
	if strings.Contains(where, "://") {
		read = fetch
	}
	text, err := read(ctx, where)
	if err != nil {
		return nil, err
	}
	return verify.NewKeySet(text, log)
}

// readFile returns what is in a file, or a pipe that ends soon.
func readFile(_ context.Context, path string) ([]byte, error) {
	return readfile.OrPipe(path, maxKeySet+1, keysTimeout)
}

// fetch returns what is at a URL, and wherever that redirects to, over TLS or from
// this machine.
func fetch(ctx context.Context, address string) ([]byte, error) {
	target, err := url.Parse(address)
	if err != nil || !isTrustworthy(target) {
		return nil, errors.New("it is fetched from https:// alone, or from this machine")
	}
	client := &http.Client{
		Timeout: keysTimeout,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			switch {
			case len(via) > keysRedirects:
				return fmt.Errorf("more than %d redirects", keysRedirects)
			case !isTrustworthy(r.URL), r.URL.Scheme != "https" && via[0].URL.Scheme == "https":
				return errors.New("it redirects to what is not https://")
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
	if named, ok := errors.AsType[*net.DNSError](err); ok {
		err = errors.New(named.Err)
	}
	if errors.As(err, new(x509.HostnameError)) {
		err = errors.New("the server's certificate is for other hosts")
	}
	if err != nil {
		return nil, fmt.Errorf("fetch them: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered with status %d", response.StatusCode)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
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
