package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/webclient"
)

// Endpoint is the token endpoint of an OAuth 2.0 authorization server (RFC 6749). Token and
// Renew have it issue a token, each time: of the client's own (the grant client_credentials,
// section 4.4), or in exchange for another (RFC 8693).
//
// What it issues is sent as a bearer token, or as a session key, by what its text says, and so
// must be of the type Bearer, or N_A. How long it is good, an Endpoint says only to a
// [Refresher]. Redirects are not followed; the answer, of 256 KiB at most, must come within ten
// seconds, and be JSON. Errors hold nothing of a token or a secret, and do not name the host; of
// the server's they are an [*EndpointError].
//
// The fields must not be changed after the first use; the methods may be called concurrently.
type Endpoint struct {
	// URL is the token endpoint: https, or also http on this machine (localhost and loopback
	// addresses). Nothing is sent to any other origin, but to that of RevocationURL.
	URL string

	// Auth is how the client proves who it is. Nil means that it does not, which does for
	// an exchange, where the server takes a client without; the parameter client_id is then
	// the caller's.
	Auth ClientAuth

	// Subject has the token to exchange. Nil means the client's own grant.
	Subject ingressauth.Source

	// Chain has each exchange be of the token that was issued last: then the endpoint renews
	// the subject's own token. It begins again with that of Subject when Subject has
	// another one, and when the one issued last has expired or was refused.
	Chain bool

	// Parameters are sent, too: scope, audience, resource, requested_token_type, and
	// subject_token_type, which otherwise is
	// "urn:ietf:params:oauth:token-type:access_token". It is no place for secrets. What the
	// other fields say cannot be among them.
	Parameters url.Values

	// RevocationURL is where tokens are revoked (RFC 7009): https, or http on this machine.
	// "" means that they are not.
	RevocationURL string

	// Transport sends the requests, and sees tokens and secrets. It may reach a server on
	// this machine over a Unix socket. Nil means one with TLS 1.2 or later and the system's
	// certificate authorities, which takes a proxy from the environment, as
	// [http.ProxyFromEnvironment] says; a proxy sees nothing of what it passes on.
	Transport http.RoundTripper

	start  sync.Once
	client *http.Client
	err    error // of the fields

	lock sync.Mutex
	link link
}

// link is the last exchange of a chain.
type link struct {
	first  ingressauth.Token // of Subject, at its beginning
	issued ingressauth.Token
	ends   instant
}

const (
	grantClientCredentials = "client_credentials"
	grantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken        = "urn:ietf:params:oauth:token-type:access_token"

	// maxAnswer bounds an answer, in bytes. JSON may take six for one.
	maxAnswer = 256 << 10
)

// ours are the parameters that are not the caller's.
var ours = []string{"grant_type", "subject_token", "client_id", "client_secret", "client_assertion", "client_assertion_type", "token", "token_type_hint"}

// Token returns a token that is issued now; [ingressauth.Source].
func (e *Endpoint) Token(ctx context.Context) (ingressauth.Token, error) {
	got, err := e.issue(ctx, ingressauth.Token{})
	return got.token, err
}

// Renew returns a token that is issued now; [ingressauth.Renewer].
func (e *Endpoint) Renew(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	got, err := e.issue(ctx, refused)
	if err == nil && sameText(got.token, refused) {
		return ingressauth.Token{}, errRefused
	}
	return got.token, err
}

// Revoke has the server revoke a token that it issued (RFC 7009). A server that does not know
// it says the same as one that does. Without a RevocationURL the error is
// [errors.ErrUnsupported].
func (e *Endpoint) Revoke(ctx context.Context, token ingressauth.Token) error {
	if e.RevocationURL == "" {
		return fmt.Errorf("revoke token: no RevocationURL: %w", errors.ErrUnsupported)
	}
	if err := e.check(); err != nil {
		return err
	}
	form := url.Values{"token": {token.Reveal()}, "token_type_hint": {"access_token"}}
	if _, _, err := e.post(ctx, e.RevocationURL, form); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}

func (e *Endpoint) issue(ctx context.Context, refused ingressauth.Token) (issued, error) {
	got, err := e.request(ctx, refused)
	if err != nil {
		return issued{}, fmt.Errorf("ask token endpoint: %w", err)
	}
	return got, nil
}

func (e *Endpoint) request(ctx context.Context, refused ingressauth.Token) (issued, error) {
	if err := e.check(); err != nil {
		return issued{}, err
	}
	form := maps.Clone(e.Parameters)
	if form == nil {
		form = make(url.Values)
	}
	form.Set("grant_type", grantClientCredentials)
	var first ingressauth.Token
	if e.Subject != nil {
		var err error
		if first, err = e.Subject.Token(ctx); err != nil {
			return issued{}, fmt.Errorf("the subject to exchange: %w", err)
		}
		form.Set("grant_type", grantTokenExchange)
		form.Set("subject_token", e.subject(first, refused).Reveal())
		if !form.Has("subject_token_type") {
			form.Set("subject_token_type", typeAccessToken)
		}
	}
	began := now()
	answer, secrets, err := e.post(ctx, e.URL, form)
	if err != nil {
		return issued{}, err
	}
	got, err := parseAnswer(answer, secrets)
	if err == nil && e.Subject != nil {
		l := link{first: first, issued: got.token}
		if got.life > 0 {
			l.ends = began.in(got.life)
		}
		e.lock.Lock()
		e.link = l
		e.lock.Unlock()
	}
	return got, err
}

// subject returns the token to exchange.
func (e *Endpoint) subject(first, refused ingressauth.Token) ingressauth.Token {
	e.lock.Lock()
	defer e.lock.Unlock()
	l, at := e.link, now()
	ends, ok := l.issued.Expiry()
	if !e.Chain || l.issued.IsZero() || first != l.first || sameText(l.issued, refused) ||
		l.ends.reached(at) || ok && !at.wall.Before(ends) {
		return first
	}
	return l.issued
}

// post sends a form, as the client, and returns the answer's body, and what was secret of the
// request, which a server may say again in an error.
func (e *Endpoint) post(outer context.Context, target string, form url.Values) (answer []byte, secrets []string, err error) {
	ctx, cancel := context.WithTimeoutCause(outer, webclient.Timeout, fmt.Errorf("no whole answer within %v", webclient.Timeout))
	defer cancel()
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if e.Auth != nil {
		if err := e.Auth.authenticate(e.URL, header, form); err != nil {
			return nil, nil, err
		}
	}
	secrets = secretsOf(header, form)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, errors.New("no such request can be made") // the error may show all of it
	}
	request.Header = header
	answer, err = e.send(request, secrets)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return answer, secrets, err
}

// secretsOf are the secrets in a request.
func secretsOf(header http.Header, form url.Values) []string {
	secrets := []string{form.Get("subject_token"), form.Get("token"), form.Get("client_assertion")}
	request := http.Request{Header: header}
	if _, secret, ok := request.BasicAuth(); ok {
		plain, _ := url.QueryUnescape(secret)
		secrets = append(secrets, secret, plain)
	}
	return secrets
}

func (e *Endpoint) send(request *http.Request, secrets []string) ([]byte, error) {
	response, err := e.client.Do(request)
	if err != nil {
		return nil, webclient.WithoutHost(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, webclient.WithoutHost(err)
	case response.StatusCode != http.StatusOK:
		return nil, parseError(response, body, secrets)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer is longer than %d KiB", maxAnswer>>10)
	}
	return body, nil
}

// check says what is wrong with the fields, and makes the client.
func (e *Endpoint) check() error {
	e.start.Do(func() {
		if e.err = e.checkFields(); e.err != nil {
			return
		}
		transport := e.Transport
		if transport == nil {
			own := webclient.NewTransport()
			own.DisableKeepAlives = true // the next request is hours away, and nothing is left to close
			if e.Auth != nil {
				own.TLSClientConfig = e.Auth.tlsConfig()
			}
			transport = own
		}
		e.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	})
	return e.err
}

func (e *Endpoint) checkFields() error {
	for _, address := range []string{e.URL, e.RevocationURL} {
		if address == "" && e.URL != "" {
			continue
		}
		u, err := url.Parse(address)
		if err != nil || !webclient.IsTrustworthy(u) || u.User != nil || u.Fragment != "" {
			// The error of url.Parse shows all of it, and it may be a secret in the wrong place.
			return errors.New("the URL of an endpoint is https://, or http:// on this machine, without a password or a fragment")
		}
	}
	switch {
	case e.Auth == nil && e.Subject == nil:
		return errors.New("an Endpoint without a Subject needs Auth: the grant is the client's own")
	case e.Auth != nil && e.Transport != nil && e.Auth.tlsConfig() != nil:
		return errors.New("an Endpoint with a Transport of its own, which has to present the certificate: give TLSClientAuth none")
	case e.Chain && e.Subject == nil:
		return errors.New("an Endpoint with Chain needs a Subject to begin with")
	}
	for _, name := range ours {
		if e.Parameters.Has(name) && !(name == "client_id" && e.Auth == nil) {
			return fmt.Errorf("the parameter %s is not among Parameters: the other fields say it", name)
		}
	}
	return nil
}
