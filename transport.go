package ingressauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// Transport is an [http.RoundTripper] that attaches the current token to requests
// to the origins that it was given, and to no others.
//
// A request that a server refuses, with status 401, is sent once more if another
// token is to be had by then, and if its body can be had again: there is none, or
// [http.Request.GetBody] is set. Nothing else is sent again.
//
// It may be used by many goroutines at once. Its fields must not be changed, and it
// must not be copied, after its first use.
type Transport struct {
	// Source has the token. It is asked for every request, and if it is a
	// [Renewer], for another token when a server has refused one. Nil means
	// [Default].
	Source Source

	// Base sends the requests, and sees the token. It must not follow redirects,
	// and must not send plain HTTP to localhost by way of a proxy; where Transport
	// can tell that it does, the request fails. Nil means [http.DefaultTransport].
	Base http.RoundTripper

	// Origins are those that get the token: scheme, host and, if it is not the
	// scheme's own, port, as in "https://service.example:8443". Other schemes,
	// ports and subdomains are other origins. The scheme "http" is for localhost
	// and for loopback addresses alone. "unix://NAME" is the origin of
	// http://NAME where Base sends everything over a Unix socket; it needs a Base.
	// None is [ErrNoOrigins], and one that cannot be parsed an error, for every
	// request.
	//
	// Requests to other origins are sent without the fields Authorization, Cookie
	// and X-Organization-Uuid, also where the caller or a cookie jar has set them;
	// use another client there. So are requests that were redirected, if any of
	// the requests before them was to another origin.
	Origins []string

	origins  namedOrigins
	renewals singleflight.Group // by the refused token's text
	ended    atomic.Uint64      // how many renewals have
	last     atomic.Pointer[renewal]
}

// renewal is what a source answered to a refusal, and answers all whose token was
// refused while that came about.
type renewal struct {
	refused Token
	number  uint64 // of all renewals
	token   Token
	err     error
}

const (
	// renewTimeout bounds a renewal, which outlives the request that began it if
	// others wait for it, too.
	renewTimeout = 30 * time.Second
	// maxHops bounds how far a chain of redirects is followed back. What is
	// longer gets no credential.
	maxHops = 100
	// maxDrain is how much of the body of a refusal is read, in bytes, and
	// drainTime for how long, so that its connection can be used again.
	maxDrain  = 2 << 10
	drainTime = 50 * time.Millisecond
)

// RoundTrip sends a request; [http.RoundTripper]. To the named origins it sends a
// copy with the credential, which [http.Response.Request] does not show. Without a
// token it sends nothing there, and returns the source's error: [ErrNoToken], or one
// that wraps it and gives the reason.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	origin, err := t.origin(request)
	if err != nil {
		closeBody(request)
		return nil, err
	}
	if origin == nil || !t.trusts(request.Response) {
		return t.send(request, Token{}, request.Body)
	}
	began := t.ended.Load()
	token, err := tokenToAttach(request.Context(), t.source())
	if err != nil {
		closeBody(request)
		return nil, err
	}
	response, err := t.send(request, token, request.Body)
	if err != nil || response.StatusCode != http.StatusUnauthorized || !asksFor(response.Header, token.Scheme()) {
		return response, err
	}
	renewed, err := t.renew(request.Context(), token, began)
	if err != nil {
		return response, nil // which says more to the caller
	}
	body, ok := bodyAgain(request)
	if !ok {
		return response, nil
	}
	drain(response)
	return t.send(request, renewed, body)
}

// origin returns the named origin that a request is to, or nil. The error says what
// is wrong with the transport or the request.
func (t *Transport) origin(request *http.Request) (*namedOrigin, error) {
	if err := t.origins.parse(t.Origins); err != nil {
		return nil, err
	}
	if t.Base == nil && t.origins.anyUnix() {
		return nil, errors.New("an origin is reached over a Unix socket, and Transport.Base is nil, which sends nothing over one")
	}
	if request.URL == nil {
		return nil, errors.New("the request has no URL")
	}
	o := t.origins.of(request.URL)
	if o != nil && o.scheme == "http" && !o.unix && t.proxies(request) {
		return nil, errors.New("plain HTTP to an origin that gets the token, and Transport.Base has a proxy for it, which would see it: take it out of the proxy's hosts")
	}
	return o, nil
}

// proxies reports whether Base is known to send a request by way of a proxy.
func (t *Transport) proxies(request *http.Request) bool {
	b, ok := t.base().(*http.Transport)
	if !ok || b.Proxy == nil {
		return false
	}
	proxy, err := b.Proxy(request)
	return proxy != nil || err != nil
}

// trusts reports whether every request whose redirects led here, by this response
// last, was to a named origin.
func (t *Transport) trusts(redirect *http.Response) bool {
	for range maxHops {
		if redirect == nil {
			return true
		}
		request := redirect.Request
		if request == nil || request.URL == nil || t.origins.of(request.URL) == nil {
			return false
		}
		redirect = request.Response
	}
	return false
}

// attempt is a request as it is sent: a copy, and room for the value of its
// credential.
type attempt struct {
	http.Request
	value [1]string
}

// send sends a copy of the request with this credential, or without any where that
// is the zero Token, and with this body, which Base closes.
func (t *Transport) send(request *http.Request, token Token, body io.ReadCloser) (*http.Response, error) {
	a := &attempt{Request: *request}
	a.Body = body
	if token.IsZero() {
		a.Header, a.Trailer = headerWithout(request.Header), headerWithout(request.Trailer)
	} else {
		a.Header = token.headerWith(request.Header, &a.value)
	}
	response, err := t.base().RoundTrip(&a.Request)
	switch {
	case err != nil:
		return nil, err
	case response == nil:
		return nil, errors.New("Transport.Base returned neither a response nor an error")
	case response.Body == nil:
		response.Body = http.NoBody
	}
	if r := response.Request; !token.IsZero() && r != nil && r.Response != request.Response {
		response.Body.Close()
		return nil, errors.New("Transport.Base has followed a redirect, by which a credential can get anywhere: leave that to the http.Client above")
	}
	response.Request = request // not the copy, which has the credential
	return response, nil
}

// drain reads and closes the body of a refusal.
func drain(response *http.Response) {
	if n := response.ContentLength; 0 < n && n <= maxDrain {
		timer := time.AfterFunc(drainTime, func() { response.Body.Close() })
		io.CopyN(io.Discard, response.Body, n)
		timer.Stop()
	}
	response.Body.Close()
}

// renew returns another token than the refused one, for a request that was sent
// when so many renewals had ended. Of all requests that are refused with a token at
// the same time one asks the source.
func (t *Transport) renew(ctx context.Context, refused Token, began uint64) (Token, error) {
	for {
		result := t.renewals.DoChan(refused.Reveal(), func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
			defer cancel()
			return t.ask(ctx, refused, began), nil
		})
		select {
		case r := <-result:
			// Who began the flight may have had an answer that is older than this
			// request. Then the next flight brings another.
			if r := r.Val.(*renewal); r.number > began {
				return r.token, r.err
			}
		case <-ctx.Done():
			return Token{}, ended(ctx)
		}
	}
}

// ask asks the source for another token, unless the answer is known.
func (t *Transport) ask(ctx context.Context, refused Token, began uint64) *renewal {
	if now, err := t.source().Token(ctx); err == nil && !now.IsZero() && !sameText(now, refused) {
		return &renewal{number: math.MaxUint64, token: now} // it has another already
	}
	if last := t.last.Load(); last != nil && sameText(last.refused, refused) && last.number > began {
		return last
	}
	r := &renewal{refused: refused, err: ErrNoToken}
	if source, ok := t.source().(Renewer); ok {
		if r.token, r.err = source.Renew(ctx, refused); r.err == nil && (r.token.IsZero() || sameText(r.token, refused)) {
			r.err = ErrNoToken
		}
	}
	r.number = t.ended.Add(1)
	t.last.Store(r)
	return r
}

// CloseIdleConnections closes those of Base. [http.Client.CloseIdleConnections]
// calls it.
func (t *Transport) CloseIdleConnections() {
	if b, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		b.CloseIdleConnections()
	}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) source() Source { return sourceOr(t.Source) }

// sourceOr returns s, or [Default] where that is nil.
func sourceOr(s Source) Source {
	if s == nil {
		return &Default
	}
	return s
}

// tokenToAttach returns the source's token, which is not the zero Token.
func tokenToAttach(ctx context.Context, s Source) (Token, error) {
	t, err := s.Token(ctx)
	if err == nil && t.IsZero() {
		err = ErrNoToken
	}
	if err != nil {
		return Token{}, fmt.Errorf("attach session token: %w", err)
	}
	return t, nil
}

// bodyAgain returns the request's body from its beginning, and whether it can be
// had.
func bodyAgain(request *http.Request) (io.ReadCloser, bool) {
	if request.Body == nil || request.Body == http.NoBody {
		return request.Body, true
	}
	if request.GetBody == nil {
		return nil, false
	}
	body, err := request.GetBody()
	return body, err == nil
}

func closeBody(request *http.Request) {
	if request.Body != nil {
		request.Body.Close()
	}
}
