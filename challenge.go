package ingressauth

import (
	"net/http"
	"net/textproto"
	"strings"
)

// asksFor reports whether a response with status 401 asks for a token of this
// scheme (RFC 9110, section 11.6.1): a bearer token by a challenge of the scheme
// Bearer, perhaps among others. For a session key there is no challenge, so one that
// stands there asks for something else. A response without any, which RFC 9110
// forbids and many send, asks for whatever it was given.
func asksFor(h http.Header, s Scheme) bool {
	any := false
	for _, value := range h["Www-Authenticate"] {
		for scheme := range challenges(value) {
			if any = true; s == SchemeBearer && strings.EqualFold(scheme, "Bearer") {
				return true
			}
		}
	}
	return !any
}

// challenges yields the schemes of a WWW-Authenticate field, which is a list of
// challenges and of their parameters, both with commas between them.
func challenges(value string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for value != "" {
			var element string
			element, value = cutElement(value)
			element = textproto.TrimString(element)
			end := strings.IndexAny(element, " \t=")
			if end < 0 {
				end = len(element)
			}
			// A name and "=" is a parameter of the challenge before.
			parameter := strings.HasPrefix(textproto.TrimString(element[end:]), "=")
			if element != "" && !parameter && !yield(element[:end]) {
				return
			}
		}
	}
}

// cutElement cuts a list at its first comma that is not in a quoted string.
func cutElement(list string) (element, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && c == ',':
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}
