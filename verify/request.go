package verify

import (
	"context"
	"errors"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/ingressauth/ingressauth"
)

// ErrUnknownSessionKey says that a session key is not known, or no longer good.
// [SessionKeys] return it, or an error that wraps it.
var ErrUnknownSessionKey = errors.New("unknown session key")

// SessionKeys knows session keys, which are opaque, and which no signature vouches for.
type SessionKeys interface {
	// LookUp says whom a session key stands for. It returns
	// [ErrUnknownSessionKey] for one that it does not know; any other error means
	// that it cannot say. It is called concurrently, for every request that comes
	// with a session key. What it keeps of keys at rest is their hashes.
	LookUp(ctx context.Context, key ingressauth.Token) (SessionKey, error)
}

// SessionKey is whom a session key stands for.
type SessionKey struct {
	// Principal is who sends it. Its Organization is set by the verifier. Once its
	// ExpiresAt, unless that is zero, has passed, the key is refused.
	Principal Principal
	// Organizations are the ids of those that the key may act for.
	Organizations []string
}

const (
	cookieName        = "sessionKey"
	fieldOrganization = "X-Organization-Uuid"

	// maxSessionKey is the length of the longest session key, in bytes, several
	// times that of those that are seen.
	maxSessionKey = 1 << 10
)

// VerifyRequest returns who sent a request. It takes the token of "Authorization:
// Bearer TOKEN" (RFC 6750, section 2.1), or the session key in the cookie
// "sessionKey", which acts for the organisation in X-Organization-Uuid, or if it has
// just one for that. Where there is a session key beside an Authorization of any scheme, or
// another session key, or two of Authorization, the request is refused as [Malformed]; nothing says which one to believe. So is one whose credential
// is empty, or a session key of more than 1 KiB.
//
// Any error is a [*Refusal]: of a request without a credential, as which one counts whose
// Authorization is of another scheme, with [NoCredential].
//
// It does not ask whether a browser was made to send the request; [Guard] does.
func (v *Verifier) VerifyRequest(r *http.Request) (*Principal, error) {
	c, refusal := credentialOf(r.Header)
	if refusal != nil {
		return nil, refusal
	}
	p, refusal := v.verify(r.Context(), c)
	if refusal != nil {
		return nil, refusal
	}
	return p, nil
}

// credential is what a request has to say who sent it: one of the first two.
type credential struct {
	token         string
	sessionKey    string
	organizations []string // with a session key, the values of X-Organization-Uuid
}

// verify returns whose a credential is.
func (v *Verifier) verify(ctx context.Context, c credential) (*Principal, *Refusal) {
	if c.token != "" {
		return v.verifyToken(ctx, c.token)
	}
	p, refusal := v.lookUp(ctx, c.sessionKey, c.organizations)
	if refusal != nil {
		return nil, refusal
	}
	return v.unlessRevoked(ctx, p)
}

// credentialOf returns the credential in a request's header.
func credentialOf(h http.Header) (c credential, refusal *Refusal) {
	c.sessionKey, refusal = sessionKeyOf(h["Cookie"])
	if refusal != nil {
		return credential{}, refusal
	}
	fields := h["Authorization"]
	if len(fields) > 1 || len(fields) == 1 && c.sessionKey != "" {
		return credential{}, &Refusal{Reason: Malformed}
	}
	if len(fields) == 1 {
		// RFC 9110, section 11.4: the scheme in any case, spaces, the token.
		scheme, rest, _ := strings.Cut(textproto.TrimString(fields[0]), " ")
		if strings.EqualFold(scheme, "Bearer") {
			if c.token = strings.TrimLeft(rest, " "); c.token == "" {
				return credential{}, &Refusal{Reason: Malformed}
			}
		}
	}
	if c.token == "" && c.sessionKey == "" {
		return credential{}, &Refusal{Reason: NoCredential, Err: ingressauth.ErrNoToken}
	}
	c.organizations = h[fieldOrganization]
	return c, nil
}

// sessionKeyOf returns the session key in the values of Cookie fields, or "". It reads
// pairs itself, since net/http drops those that it does not like, and would leave the
// choice between two to what is wrong with one.
func sessionKeyOf(cookies []string) (key string, refusal *Refusal) {
	found := false
	for _, field := range cookies {
		for pair := range strings.SplitSeq(field, ";") {
			name, value, _ := strings.Cut(pair, "=")
			if textproto.TrimString(name) != cookieName {
				continue
			}
			value = textproto.TrimString(value)
			if found && value != key || value == "" {
				return "", &Refusal{Reason: Malformed}
			}
			key, found = value, true
		}
	}
	return key, nil
}

// lookUp returns whom a session key stands for when it comes with these values of
// X-Organization-Uuid.
func (v *Verifier) lookUp(ctx context.Context, key string, organizations []string) (*Principal, *Refusal) {
	switch {
	case v.sessionKeys == nil:
		return nil, &Refusal{Reason: WrongKey}
	case len(key) > maxSessionKey:
		return nil, &Refusal{Reason: Malformed}
	}
	token, err := ingressauth.NewToken(key, "")
	if err != nil || token.Scheme() != ingressauth.SchemeSessionKey || len(organizations) > 1 {
		return nil, &Refusal{Reason: Malformed}
	}
	found, err := v.sessionKeys.LookUp(ctx, token)
	switch {
	case errors.Is(err, ErrUnknownSessionKey):
		return nil, &Refusal{Reason: WrongKey}
	case err != nil:
		return nil, &Refusal{Reason: KeysUnavailable, Err: err}
	}
	p := found.Principal
	switch {
	case len(organizations) == 1:
		p.Organization = organizations[0]
	case len(found.Organizations) == 1:
		p.Organization = found.Organizations[0]
	default:
		p.Organization = ""
	}
	switch {
	case p.Organization == "" || !slices.Contains(found.Organizations, p.Organization):
		return nil, &Refusal{Reason: WrongClaim, claim: fieldOrganization}
	case !p.ExpiresAt.IsZero() && !v.now().Before(p.ExpiresAt):
		return nil, &Refusal{Reason: Expired}
	}
	return &p, nil
}
