// Package webclient is what clients of an issuer have in common, be it its key set or its
// token endpoint that they ask for.
package webclient

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth/internal/loopback"
)

const (
	// Timeout is how long an answer may take as a whole.
	Timeout = 10 * time.Second

	longestHeader = 64 << 10    // bytes
	longestError  = 200         // bytes of an error, which a server may have chosen
	longestRest   = time.Minute // the longest Retry-After that is heeded
)

// IsTrustworthy reports whether what goes to a URL, and comes from there, is between us and
// the host that it names: over TLS, or on this machine.
func IsTrustworthy(u *url.URL) bool {
	switch u.Scheme {
	case "https":
		return u.Hostname() != ""
	case "http":
		return loopback.Is(u.Hostname())
	}
	return false
}

// NewTransport returns a transport with bounds, which takes a proxy from the environment.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: longestHeader,
		// A connection is made on nobody's context, and has its own bounds.
		DialContext:         (&net.Dialer{Timeout: Timeout}).DialContext,
		TLSHandshakeTimeout: Timeout,
		// One that no longer answers is found out, and replaced.
		HTTP2: &http.HTTP2Config{SendPingTimeout: Timeout / 2, PingTimeout: Timeout / 4},
	}
}

// WithoutHost returns why a request failed, without whom it was sent to.
func WithoutHost(err error) error {
	if named, ok := errors.AsType[*url.Error](err); ok {
		err = named.Err
	}
	if named, ok := errors.AsType[*net.OpError](err); ok {
		err = fmt.Errorf("%s: %w", named.Op, named.Err)
	}
	if named, ok := errors.AsType[*net.DNSError](err); ok {
		err = errors.New(named.Err)
	}
	if errors.As(err, new(x509.HostnameError)) {
		err = errors.New("the server's certificate is for other hosts")
	}
	if text := err.Error(); len(text) > longestError {
		err = errors.New(strings.ToValidUTF8(text[:longestError], "") + "...")
	}
	return err
}

// RetryAfter reads a Retry-After (RFC 9110, section 10.2.3), of which a minute at most is
// heeded.
func RetryAfter(field string) time.Duration {
	d, ok := Seconds(field)
	if at, err := http.ParseTime(field); !ok && err == nil {
		d = time.Until(at)
	}
	return min(max(0, d), longestRest)
}

// Seconds reads a delta-seconds (RFC 9111, section 1.2.2), of which a year is the most.
func Seconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	const year = 365 * 24 * 60 * 60
	return time.Duration(min(n, year)) * time.Second, true
}
