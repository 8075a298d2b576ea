package verify

import (
	"net/http"
	"slices"
)

// Policy says whether a principal, which is believed, may do what a request asks for. It
// is called concurrently, and must change neither: the principal is shared with the requests
// to come.
type Policy func(p *Principal, r *http.Request) bool

// InOrganization lets those pass who act for one of the organisations with these ids.
func InOrganization(ids ...string) Policy {
	ids = slices.Clone(ids)
	return func(p *Principal, _ *http.Request) bool {
		return p.Organization != "" && slices.Contains(ids, p.Organization)
	}
}

// CreatedBy lets sessions of these kinds of creators pass: [User] for those that a human
// has started.
func CreatedBy(kinds ...CreatorKind) Policy {
	kinds = slices.Clone(kinds)
	return func(p *Principal, _ *http.Request) bool {
		return p.Creator.Kind != "" && slices.Contains(kinds, p.Creator.Kind)
	}
}

// AllOf lets those pass whom each of these policies lets pass, and nobody if there are
// none, or one is nil.
func AllOf(policies ...Policy) Policy {
	policies = slices.Clone(policies)
	return func(p *Principal, r *http.Request) bool {
		return len(policies) > 0 && !slices.ContainsFunc(policies, func(allows Policy) bool { return allows == nil || !allows(p, r) })
	}
}

// AnyOf lets those pass whom at least one of these policies lets pass. One that is nil lets
// nobody.
func AnyOf(policies ...Policy) Policy {
	policies = slices.Clone(policies)
	return func(p *Principal, r *http.Request) bool {
		return slices.ContainsFunc(policies, func(allows Policy) bool { return allows != nil && allows(p, r) })
	}
}
