package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth/internal/webclient"
)

// Bounds on a fetch of a key set. What is longer than maxKeySet is refused as one.
const (
	fetchTimeout   = webclient.Timeout
	fetchRedirects = 3
	fetchETag      = 256 // bytes; a longer one is forgotten
)

// FetchKeySet returns the keys that are published at a URL, fetched once, as
// [RemoteKeySet] does it, for programs that verify and end. They never change. What is
// left out is logged as [NewKeySet] does. Errors do not show the host.
func FetchKeySet(ctx context.Context, url string, log *slog.Logger) (KeySet, error) {
	c, err := newKeyClient(url, nil)
	if err != nil {
		return nil, err
	}
	defer c.close()
	f := c.fetch(ctx, nil)
	if f.err != nil {
		return nil, f.err
	}
	return f.keys.withLog(f.ignored, log)
}

// keyClient fetches a key set from one URL.
type keyClient struct {
	url    *url.URL
	client *http.Client
	own    *http.Transport // the client's, or nil if it is the caller's
}

// newKeyClient returns one with this transport, or if it is nil, with one of its own.
func newKeyClient(address string, transport http.RoundTripper) (*keyClient, error) {
	target, err := url.Parse(address)
	if err != nil || !webclient.IsTrustworthy(target) {
		// The error of url.Parse shows all of it, and it may be a secret in the wrong place.
		return nil, errors.New("a key set is fetched from https:// alone, or from this machine")
	}
	c := &keyClient{url: target}
	if transport == nil {
		c.own = webclient.NewTransport()
		transport = c.own
	}
	c.client = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return c, nil
}

// checkRedirect lets a chain of requests lead to where a key set may be fetched from.
func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > fetchRedirects:
		return fmt.Errorf("more than %d redirects", fetchRedirects)
	case !webclient.IsTrustworthy(r.URL), r.URL.Scheme != "https" && via[0].URL.Scheme == "https":
		return errors.New("it redirects to what is not https://")
	}
	return nil
}

func (c *keyClient) close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// fetched is an answer.
type fetched struct {
	begun       time.Time // when it was asked for
	keys        keys
	ignored     []string // has a line for each key that is left out
	etag        string
	notModified bool          // they are what they were the last time, and not in here
	fresh       time.Duration // for how long they are, as the issuer says
	err         error
	retryAfter  time.Duration // with err, for how long the issuer wants no other request
}

// fetch asks for the key set, or whether it is still that of last. Errors do not show the
// host.
func (c *keyClient) fetch(outer context.Context, last *fetched) *fetched {
	f := &fetched{begun: time.Now()}
	ctx, cancel := context.WithTimeout(outer, fetchTimeout)
	defer cancel()
	if err := c.ask(ctx, f, last); err != nil {
		if errors.Is(err, context.DeadlineExceeded) && outer.Err() == nil {
			err = fmt.Errorf("no whole answer within %v", fetchTimeout)
		}
		f.err = fmt.Errorf("fetch key set: %w", webclient.WithoutHost(err))
		if c.own != nil {
			c.own.CloseIdleConnections() // and those that are being made
		}
	}
	return f
}

// ask fills in f.
func (c *keyClient) ask(ctx context.Context, f, last *fetched) error {
	request := (&http.Request{Method: http.MethodGet, URL: c.url, Header: make(http.Header)}).WithContext(ctx)
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	conditional := last != nil && last.etag != ""
	if conditional {
		request.Header.Set("If-None-Match", last.etag)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && conditional:
		f.notModified, f.etag = true, last.etag
	case response.StatusCode == http.StatusOK:
		text, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
		if err != nil {
			return err
		}
		if f.keys, f.ignored, err = parseKeySet(text); err != nil {
			return err
		}
		if etag := response.Header.Get("ETag"); len(etag) <= fetchETag {
			f.etag = etag
		}
	default:
		f.retryAfter = webclient.RetryAfter(response.Header.Get("Retry-After"))
		return fmt.Errorf("the server answered with status %d", response.StatusCode)
	}
	var says bool
	if f.fresh, says = freshness(response.Header); !says {
		f.fresh = remoteFresh
		if f.notModified { // what it said before holds (RFC 9111, section 4.3.4)
			f.fresh = last.fresh
		}
	}
	return nil
}

// freshness returns for how long an answer with this header is fresh (RFC 9111, section
// 4.2), to somebody who is no shared cache, if it says so. What makes no sense is not fresh.
func freshness(h http.Header) (d time.Duration, says bool) {
	age, _ := webclient.Seconds(h.Get("Age"))
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(textproto.TrimString(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			n, ok := webclient.Seconds(strings.Trim(value, `"`))
			if !ok {
				return 0, true
			}
			if n -= age; !says || n < d {
				d, says = n, true
			}
		}
	}
	if says {
		return d, true
	}
	if expires := h.Get("Expires"); expires != "" {
		until, err := http.ParseTime(expires)
		if err != nil {
			return 0, true // "0" is what many write
		}
		now, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			now = time.Now()
		}
		return max(0, until.Sub(now)) - age, true
	}
	return 0, false
}
