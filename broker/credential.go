package broker

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/ingressauth/ingressauth/internal/phantom"
)

// credential is what a request came with.
type credential struct {
	phantom string // "" if there is none
	foreign bool   // there is one that is no phantom
}

const cookieName = "sessionKey"

// read takes what is in a request's fields. Two different phantoms are an error, and so are two
// Authorization fields.
func (c *credential) read(authorization, cookies []string) *failure {
	if len(authorization) > 1 {
		return refusal(Malformed, "there is more than one Authorization")
	}
	for _, value := range authorization {
		scheme, text, _ := strings.Cut(value, " ")
		if text = strings.Trim(text, " \t"); !strings.EqualFold(scheme, "Bearer") || text != "" && !phantom.Is(text) {
			c.foreign = true
		} else if text == "" {
			continue // of whoever has no token
		} else if f := c.note(text); f != nil {
			return f
		}
	}
	for _, value := range cookies {
		if !strings.Contains(value, cookieName) {
			continue
		}
		for pair := range strings.SplitSeq(value, ";") {
			name, text, _ := strings.Cut(pair, "=")
			if textproto.TrimString(name) != cookieName {
				continue
			}
			if text = strings.Trim(textproto.TrimString(text), `"`); !phantom.Is(text) {
				c.foreign = true
			} else if f := c.note(text); f != nil {
				return f
			}
		}
	}
	return nil
}

func (c *credential) note(text string) *failure {
	if c.phantom != "" && c.phantom != text {
		return refusal(Malformed, "there are two phantoms")
	}
	c.phantom = text
	return nil
}

// isHopByHop reports whether a field belongs to a connection, and not to what it carries (RFC
// 9110, section 7.6.1). Te has a meaning for the next one, too, if it is "trailers".
func isHopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Proxy-Authentication-Info", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return false
}

var undisguise = strings.NewReplacer("_", "-", ".", "-")

// isDisguised reports whether some servers take a name for one of a field that matters: those
// that make variables of names have the same for "-", "_" and ".".
func isDisguised(name string) bool {
	if strings.IndexByte(name, '_') < 0 && strings.IndexByte(name, '.') < 0 {
		return false
	}
	switch name = textproto.CanonicalMIMEHeaderKey(undisguise.Replace(name)); name {
	case "X-Organization-Uuid", "Content-Length", "Set-Cookie":
		return true
	}
	return isHopByHop(name) || slices.Contains(overrides, name)
}

// overrides are fields in which some servers look for the method or the path.
var overrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url", "X-Original-Uri"}

// removeHopByHop takes away what belongs to the connection, and what that says does.
func removeHopByHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for name := range h {
		if isHopByHop(name) {
			delete(h, name)
		}
	}
}

// has reports whether a list of tokens with commas between them holds this one.
func has(values []string, token string) bool {
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(textproto.TrimString(element), token) {
				return true
			}
		}
	}
	return false
}
