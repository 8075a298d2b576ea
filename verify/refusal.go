package verify

import (
	"fmt"
)

// Reason says why a credential was refused. The list is closed: it does for a metric's
// label and for an answer to whoever sent it.
type Reason string

// The reasons. The last two say nothing of the credential, which may be good later. The
// two before them are of a [Guard], and only with the latter was the credential believed.
const (
	// NoCredential: the request has none. The refusal wraps [ingressauth.ErrNoToken].
	NoCredential Reason = "no credential"
	// Malformed: not a JWT in compact form with strict JSON in it, longer than
	// accepted, or a request with more than one credential.
	Malformed Reason = "malformed"
	// WrongPrefix: it does not begin with the prefix of any issuer.
	WrongPrefix Reason = "prefix"
	// WrongAlgorithm: the issuer does not sign with it, or the key is for another.
	WrongAlgorithm Reason = "algorithm"
	// WrongKey: the key set has no such key, or none that is chosen without an
	// id; the token brings a key of its own; or the session key is not known.
	WrongKey Reason = "key"
	// WrongSignature: the key did not sign it.
	WrongSignature Reason = "signature"
	// WrongIssuer: "iss" is none of the trusted issuers.
	WrongIssuer Reason = "issuer"
	// WrongAudience: "aud" has none of the accepted audiences.
	WrongAudience Reason = "audience"
	// WrongClaim: a claim is missing, of the wrong type, or not what is required;
	// or a session key may not act for the organisation that came with it.
	WrongClaim Reason = "claim"
	// Expired: "exp" has passed, by more than the leeway.
	Expired Reason = "expired"
	// NotYetValid: "nbf" or "iat" is to come, by more than the leeway.
	NotYetValid Reason = "not yet valid"
	// TooLongLived: it lives longer than is accepted of the issuer.
	TooLongLived Reason = "too long-lived"
	// Revoked: it was taken back.
	Revoked Reason = "revoked"
	// CrossSite: another site may have made a browser send it.
	CrossSite Reason = "cross-site"
	// Forbidden: the policy says no.
	Forbidden Reason = "forbidden"
	// KeysUnavailable: the key set, or what knows session keys, cannot be had.
	KeysUnavailable Reason = "keys unavailable"
	// RevocationsUnavailable: what is revoked cannot be had.
	RevocationsUnavailable Reason = "revocations unavailable"
)

// Refusal is the error of a credential that is not believed, or may not do what it was sent
// for. Its text shows nothing of it.
type Refusal struct {
	Reason Reason
	// Issuer is the trusted issuer ("iss") that the credential is from, or claims
	// to be from, or "" where that is not known.
	Issuer string
	// Principal is who sent it, where that is known: with [Revoked] and [Forbidden],
	// else nil. It is for the service's log, too.
	Principal *Principal
	// Err is why something is unavailable, or nil. It is for the service's log,
	// and not for whoever sent the credential.
	Err error

	claim string // which one, if the reason is a claim
}

// Error says the reason, and what is known beside it. It shows nothing of the token.
func (r *Refusal) Error() string {
	if r.Reason == NoCredential {
		return "the request has no credential"
	}
	s := "the credential is refused: " + string(r.Reason)
	if r.claim != "" {
		s += fmt.Sprintf(" %q", r.claim)
	}
	if r.Issuer != "" {
		s += fmt.Sprintf(" (issuer %q)", r.Issuer)
	}
	if r.Err != nil {
		s += ": " + r.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (r *Refusal) Unwrap() error { return r.Err }

// refusalOf returns the refusal of who is known. It has a copy, since p may be shared.
func refusalOf(reason Reason, p *Principal) *Refusal {
	who := *p
	return &Refusal{Reason: reason, Issuer: p.Issuer, Principal: &who}
}
