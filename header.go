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
	// A field under another name than its canonical one is rare, and shows only
	// among fields that are not ours.
	if ours := d.set(h); len(h) > ours && canonicalize(h) {
		d.set(h)
	}
}

// withCookies returns the one value of a Cookie field that has the session key after
// other cookies.
func (d *tokenData) withCookies(others []string) []string {
	if len(others) == 0 {
		return []string{d.value}
	}
	return []string{strings.Join(append(trimmedCookies(others), d.value), "; ")}
}

// headerWith returns a copy of h that carries t and no other session credential, as
// SetHeader would have it. It shares the values of other fields with h. The value
// that carries t goes into store, which saves an allocation.
func (t Token) headerWith(h http.Header, store *[1]string) http.Header {
	c := maps.Clone(h) // which copies a small map whole
	if c == nil {
		c = make(http.Header, 2)
	}
	var cookies []string
	for name, values := range h {
		if ours := ourField(name); ours != "" {
			delete(c, name)
			if ours == fieldCookie {
				cookies = append(cookies, otherCookies(values)...)
			}
		}
	}
	d := t.data()
	switch d.scheme {
	case SchemeBearer:
		store[0] = d.value
		c[fieldAuthorization] = store[:]
	case SchemeSessionKey:
		cookies = d.withCookies(cookies)
		if d.organization != "" {
			c[fieldOrganization] = []string{d.organization}
		}
	}
	if len(cookies) > 0 {
		c[fieldCookie] = cookies
	}
	return c
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

// set is SetHeader for canonical names. It returns how many of our fields h has
// after it.
func (d *tokenData) set(h http.Header) (ours int) {
	if d.scheme == SchemeBearer {
		h[fieldAuthorization] = []string{d.value}
		if ours++; len(h) == ours {
			return ours // there is nothing to remove
		}
	} else {
		delete(h, fieldAuthorization)
	}
	cookies, had := h[fieldCookie]
	if had {
		cookies = otherCookies(cookies)
	}
	if d.scheme == SchemeSessionKey {
		cookies = d.withCookies(cookies)
	}
	if len(cookies) > 0 {
		h[fieldCookie] = cookies
		ours++
	} else if had {
		delete(h, fieldCookie)
	}
	if d.organization != "" {
		h[fieldOrganization] = []string{d.organization}
		ours++
	} else {
		delete(h, fieldOrganization)
	}
	return ours
}

// canonicalize brings our three fields under their canonical names, and reports
// whether any was not. A map that was filled by assignment can hold "cookie",
// which is sent as it stands.
func canonicalize(h http.Header) (changed bool) {
	for name, values := range h {
		if canonical := ourField(name); canonical != "" && name != canonical {
			delete(h, name)
			h[canonical] = slices.Concat(h[canonical], values)
			changed = true
		}
	}
	return changed
}

// ourField returns the canonical name of one of our fields, and "" for another's.
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
