package refresh

import (
	"cmp"
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
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/tokentext"
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

	// Subject has the token to exchange. If it is an [ingressauth.Renewer] and the endpoint
	// refuses its token ("invalid_grant"), it is told, and what it has then is tried once. Nil
	// means the client's own grant.
	Subject ingressauth.Source

	// Chain has each exchange be of the token that was issued last: then the endpoint renews
	// the subject's own token. It begins again with that of Subject when Subject has
	// another one, and when the one issued last has expired, or was refused by whomever. What
	// is of another session than the one before is an error.
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
	kind   string // of that, a "token type" of RFC 8693
	ends   instant
}

const (
	grantClientCredentials = "client_credentials"
	grantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken        = "urn:ietf:params:oauth:token-type:access_token"
	typeRefreshToken       = "urn:ietf:params:oauth:token-type:refresh_token"

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
	if id := e.Parameters.Get("client_id"); id != "" {
		form.Set("client_id", id)
	}
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
	if e.Subject == nil {
		got, _, err := e.grant(ctx, url.Values{"grant_type": {grantClientCredentials}})
		return got, err
	}
	first, err := e.Subject.Token(ctx)
	if err != nil {
		return issued{}, fmt.Errorf("the subject to exchange: %w", err)
	}
	subject := e.next(first, refused)
	got, err := e.exchange(ctx, subject)
	if subject.issued != first && isInvalidGrant(err) { // the chain is broken
		subject = link{first: first, issued: first}
		got, err = e.exchange(ctx, subject)
	}
	if renewer, ok := e.Subject.(ingressauth.Renewer); ok && isInvalidGrant(err) {
		if other, e2 := renewer.Renew(ctx, first); e2 == nil && !sameText(other, first) {
			return e.exchange(ctx, link{first: other, issued: other})
		}
	}
	return got, err
}

// isInvalidGrant reports whether a server has refused the subject.
func isInvalidGrant(err error) bool {
	e, ok := errors.AsType[*EndpointError](err)
	return ok && e.Code == "invalid_grant"
}

// next returns what is to be exchanged: the last link of the chain, or its beginning.
func (e *Endpoint) next(first, refused ingressauth.Token) link {
	e.lock.Lock()
	defer e.lock.Unlock()
	l, at := e.link, now()
	expiry, ok := l.issued.Expiry()
	if !e.Chain || l.issued.IsZero() || first != l.first || sameText(l.issued, refused) ||
		l.ends.reached(at) || ok && !at.wall.Before(expiry) {
		return link{first: first, issued: first}
	}
	return l
}

// exchange exchanges the token of a link, and makes what is issued the next one.
func (e *Endpoint) exchange(ctx context.Context, subject link) (issued, error) {
	if phantom.Is(subject.issued.Reveal()) {
		return issued{}, fmt.Errorf("the subject to exchange: %w", phantom.ErrFound)
	}
	form := url.Values{"grant_type": {grantTokenExchange}, "subject_token": {subject.issued.Reveal()}}
	kind := subject.kind
	if kind == "" && !e.Parameters.Has("subject_token_type") {
		kind = typeAccessToken
	}
	if kind != "" {
		form.Set("subject_token_type", kind)
	}
	began := now()
	got, kind, err := e.grant(ctx, form)
	if err != nil || !e.Chain {
		return got, err
	}
	before, after := peekSession(subject.issued), peekSession(got.token)
	if subject.kind != "" && after.isOther(before) {
		return issued{}, errOther
	}
	l := link{first: subject.first, issued: got.token, kind: cmp.Or(kind, typeAccessToken)}
	if got.life > 0 {
		l.ends = began.in(got.life)
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	e.link = l
	return got, nil
}

// grant asks for a token. It returns its "issued_token_type", too, or "".
func (e *Endpoint) grant(ctx context.Context, form url.Values) (got issued, kind string, err error) {
	all := make(url.Values)
	maps.Copy(all, e.Parameters)
	maps.Copy(all, form)
	answer, secrets, err := e.post(ctx, e.URL, all)
	if err != nil {
		return issued{}, "", err
	}
	return parseAnswer(answer, secrets)
}

// post sends a form, as the client, and returns the answer's body, and what was secret of the
// request, which a server may say again in an error.
func (e *Endpoint) post(outer context.Context, target string, form url.Values) (answer []byte, secrets []string, err error) {
	ctx, cancel := context.WithTimeoutCause(outer, webclient.Timeout, fmt.Errorf("no whole answer within %v", webclient.Timeout))
	defer cancel()
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if e.Auth != nil {
		if err := e.Auth.authenticate(ctx, e.URL, header, form); err != nil {
			return nil, nil, causeOr(ctx, err)
		}
	}
	secrets = secretsOf(header, form)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, errors.New("no such request can be made") // the error may show all of it
	}
	request.Header = header
	answer, err = e.send(request, secrets)
	return answer, secrets, causeOr(ctx, err)
}

// causeOr returns why the context ended, if it did, in place of an error.
func causeOr(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// secretsOf are the secrets in a request.
func secretsOf(header http.Header, form url.Values) []string {
	secrets := []string{form.Get("subject_token"), form.Get("actor_token"), form.Get("token"), form.Get("client_assertion")}
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
		return nil, withoutSecrets(webclient.WithoutHost(err), secrets)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, withoutSecrets(webclient.WithoutHost(err), secrets)
	case response.StatusCode != http.StatusOK:
		return nil, parseError(response, body, secrets)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer is longer than %d KiB", maxAnswer>>10)
	}
	return body, nil
}

// withoutSecrets returns an error without what may be a token in its text: what is no answer of
// HTTP is quoted there.
func withoutSecrets(err error, secrets []string) error {
	if text := err.Error(); tokentext.Mask(text, secrets...) != text {
		return errors.New(tokentext.Mask(text, secrets...))
	}
	return err
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
	if e.Auth != nil {
		if err := e.Auth.check(); err != nil {
			return err
		}
	}
	for _, name := range ours {
		if e.Parameters.Has(name) && !(name == "client_id" && e.Auth == nil) {
			return fmt.Errorf("the parameter %s is set by other fields, and has to be left out", name)
		}
	}
	return nil
}
