package ingressauth

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// The three fields that carry credentials, in canonical form, and the cookie.
const (
	fieldAuthorization = "Authorization"
	fieldCookie        = "Cookie"
	fieldOrganization  = "X-Organization-Uuid"

	cookieName = "sessionKey"
)

// SetHeader makes h carry t and no other session credential. A bearer token is
// "Authorization: Bearer TOKEN". A session key is the cookie "sessionKey=TOKEN",
// and "X-Organization-Uuid" where its organisation is known.
//
// What either scheme may have left in h is removed first, also under names that
// are not in canonical form. Other cookies stay as they are; a session key joins
// them in one Cookie field (RFC 6265, section 5.4). The zero Token sets nothing,
// and so only removes.
func (t Token) SetHeader(h http.Header) {
	d := t.data()
	d.set(h, new([1]string))
}

// headerWith returns a copy of h that carries t and no other session credential, as
// SetHeader would have it. It shares the values of other fields with h. The value
// that carries t goes into store, which saves an allocation.
func (t Token) headerWith(h http.Header, store *[1]string) http.Header {
	c := maps.Clone(h) // which copies a small map whole
	if c == nil {
		c = make(http.Header, 2)
	}
	d := t.data()
	d.set(c, store)
	return c
}

// set is SetHeader. It changes h, but no slice that is in it, and puts the value that
// carries the token into store.
func (d *tokenData) set(h http.Header, store *[1]string) {
	if d.scheme == SchemeBearer {
		store[0] = d.value
		h[fieldAuthorization] = store[:]
		if len(h) == 1 {
			return // there is nothing to remove
		}
	}
	var cookies []string
	for name, values := range h {
		field := ourField(name)
		if field == "" {
			continue
		}
		if field == fieldCookie {
			if name == field { // before what stands under other names
				cookies = joined(otherCookies(values), cookies)
			} else {
				cookies = joined(cookies, otherCookies(values))
			}
		}
		if name != field || !d.sets(field) {
			delete(h, name)
		}
	}
	if d.scheme == SchemeSessionKey {
		store[0] = d.value
		if len(cookies) > 0 {
			store[0] = strings.Join(append(trimmedCookies(cookies), d.value), "; ")
		}
		cookies = store[:]
	}
	if len(cookies) > 0 {
		h[fieldCookie] = cookies
	}
	if d.organization != "" {
		h[fieldOrganization] = []string{d.organization}
	}
}

// sets reports whether d sets this one of our fields, whatever is in it.
func (d *tokenData) sets(field string) bool {
	switch field {
	case fieldAuthorization:
		return d.scheme == SchemeBearer
	case fieldCookie:
		return d.scheme == SchemeSessionKey
	}
	return d.organization != ""
}

// joined is slices.Concat, without a copy where one of them is empty.
func joined(a, b []string) []string {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return slices.Concat(a, b)
}

// headerWithout returns h without our three fields, under whatever name: h itself
// if it has none of them, else a copy.
func headerWithout(h http.Header) http.Header {
	isOurs := func(name string, _ []string) bool { return ourField(name) != "" }
	for name := range h {
		if ourField(name) != "" {
			c := maps.Clone(h)
			maps.DeleteFunc(c, isOurs)
			return c
		}
	}
	return h
}

// ourField returns the canonical name of one of our fields, and "" for another's. A
// map that was filled by assignment can hold "cookie", which is sent as it stands.
func ourField(name string) string {
	var canonical string
	switch len(name) { // of all names, few get further
	case len(fieldAuthorization):
		canonical = fieldAuthorization
	case len(fieldCookie):
		canonical = fieldCookie
	case len(fieldOrganization):
		canonical = fieldOrganization
	}
	if name != canonical && !strings.EqualFold(name, canonical) {
		return ""
	}
	return canonical
}

// otherCookies returns the values of Cookie fields without the session key: values
// itself where it holds none, else a new slice.
func otherCookies(values []string) []string {
	if !slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, cookieName) }) {
		return values
	}
	var others []string
	for _, value := range values {
		var kept []string
		for pair := range strings.SplitSeq(value, ";") {
			// Servers trim a cookie's name, so that one is ours, too.
			name, _, _ := strings.Cut(pair, "=")
			if pair = textproto.TrimString(pair); pair != "" && textproto.TrimString(name) != cookieName {
				kept = append(kept, pair)
			}
		}
		if len(kept) > 0 {
			others = append(others, strings.Join(kept, "; "))
		}
	}
	return others
}

// trimmedCookies returns the values of Cookie fields without what would end in an
// empty pair where they are joined.
func trimmedCookies(values []string) []string {
	var trimmed []string
	for _, v := range values {
		if v = strings.Trim(v, "; \t"); v != "" {
			trimmed = append(trimmed, v)
		}
	}
	return trimmed
}

// isFieldValue reports whether a header field can carry s: no control character
// but TAB (RFC 9110, section 5.5, field-content and obs-text).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if b := s[i]; b < 0x20 && b != '\t' || b == 0x7F {
			return false
		}
	}
	return true
}

// isCookieValue reports whether s is made of cookie-octets (RFC 6265, section
// 4.1.1), so that it ends no cookie and begins no other.
func isCookieValue(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b <= 0x20, b >= 0x7F, b == '"', b == ',', b == ';', b == '\\':
			return false
		}
	}
	return true
}
