package verify

import (
	"encoding/json"
	"time"
)

// Principal is who sent a token: a session, whose it is, and until when that is so.
// A field is "" where the token does not say.
//
// One that a [Verifier] returned may be shared with other goroutines, and is not to
// be changed.
type Principal struct {
	// Issuer is the trusted issuer of the token ("iss"), or what a [SessionKeys]
	// says.
	Issuer string
	// Subject is whom the token is about ("sub"). Sessions have the other fields;
	// this is for issuers whose tokens have no others.
	Subject string
	// Session is the session's id ("ccr:session_id", or what follows
	// "ccr:session:" in "sub").
	Session string
	// Organization is the id of the organisation that the session belongs to
	// ("ccr:org_id"), or that a session key acts for.
	Organization string
	// Environment is the id of the environment that it runs in ("ccr:pool_id").
	Environment string
	// Creator is who started the session.
	Creator Creator
	// Runner is the id of the runner that holds the session ("ccr:runner:ID" in
	// "act.act.sub").
	Runner string
	// TokenID is the id of the token ("jti"), by which it can be traced.
	TokenID string
	// IssuedAt and ExpiresAt are the token's "iat" and "exp"; IssuedAt is zero
	// where it has none.
	IssuedAt, ExpiresAt time.Time

	claims string // the JSON, or ""
}

// Creator is who started a session: the outermost actor of its token ("act", RFC 8693,
// section 4.1).
type Creator struct {
	// Kind is [User] or [Agent], or "" where the token names neither.
	Kind CreatorKind
	// ID is the creator's id: what follows the kind in "act.sub".
	ID string
	// Email is the creator's address ("act.email"), which not every token has.
	Email string
}

// CreatorKind says what started a session.
type CreatorKind string

// The kinds of creators.
const (
	User  CreatorKind = "user"  // a human
	Agent CreatorKind = "agent" // a service, on an organisation's behalf
)

// Claims returns all claims of the token: one JSON object (RFC 7519, section 4) as the
// issuer wrote it, no member of which stands twice. It is the caller's. It is nil
// where there was no token, for a session key.
//
// Decode it into a map where names matter: for a struct, encoding/json takes "EMAIL"
// for "email".
func (p *Principal) Claims() json.RawMessage {
	if p.claims == "" {
		return nil
	}
	return json.RawMessage(p.claims)
}
