package verify

import (
	"encoding/base64"
	"slices"
	"strings"
)

// base64url is the encoding of RFC 7515, section 2: unpadded, and with no bit set that
// the last character does not need.
var base64url = base64.RawURLEncoding.Strict()

// containsLineBreak must be false of what base64url is to decode: it steps over line
// breaks, strict or not.
func containsLineBreak(s string) bool {
	return strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0
}

// jws is a JSON Web Signature in compact form (RFC 7515, section 3.1), taken apart.
type jws struct {
	header    header
	payload   string
	signed    []byte // what the signature is over
	signature []byte
}

// header is what is read of a JOSE header (RFC 7515, section 4.1).
type header struct {
	algorithm Algorithm
	keyID     string // "kid", where hasKeyID
	hasKeyID  bool
	bringsKey bool // it names or holds the key to verify it with, which only its sender vouches for
}

// scratch is room for what is needed of a token only while it is read.
type scratch struct {
	bytes   []byte // the token, and behind its end as much again for what it encodes
	members []member
}

// parseJWS takes a JWS apart, and reports whether it is one that this package reads.
// Nothing is verified. It uses the room in s, which bytes of j are in.
func parseJWS(text string, s *scratch) (j jws, ok bool) {
	first := strings.IndexByte(text, '.')
	last := strings.LastIndexByte(text, '.')
	if first < 0 || first == last || strings.IndexByte(text[first+1:last], '.') >= 0 {
		return jws{}, false
	}
	if containsLineBreak(text) {
		return jws{}, false
	}
	s.bytes = slices.Grow(append(s.bytes[:0], text...), len(text))
	encoded, decoded := s.bytes, s.bytes[len(text):cap(s.bytes)]
	part := func(begin, end int) []byte {
		n, err := base64url.Decode(decoded, encoded[begin:end])
		ok = ok && err == nil
		p := decoded[:n]
		decoded = decoded[n:]
		return p
	}
	ok = true
	head := string(part(0, first))
	j.payload = string(part(first+1, last))
	j.signature = part(last+1, len(encoded))
	j.signed = encoded[:last]
	if !ok || len(j.signature) == 0 {
		return jws{}, false
	}
	j.header, ok = parseHeader(head, s)
	return j, ok
}

// parseHeader reads a JOSE header, and reports whether it is one that this package
// reads: there are no extensions ("crit", "b64"), and it is of a JWT.
func parseHeader(text string, s *scratch) (h header, ok bool) {
	members, ok := parseObject(text, s.members[:0], maxOfToken)
	if !ok {
		return header{}, false
	}
	for _, m := range members {
		switch m.name {
		case "alg":
			var name string
			name, ok = m.value.str()
			h.algorithm = Algorithm(name)
		case "kid":
			h.keyID, ok = m.value.str()
			h.hasKeyID = true
		case "typ":
			var typ string
			typ, ok = m.value.str()
			ok = ok && isTypeOfJWT(typ)
		case "crit", "b64":
			return header{}, false
		case "jwk", "jku", "x5c", "x5u":
			h.bringsKey = true
		}
		if !ok {
			return header{}, false
		}
	}
	return h, lookUp(members, "alg") != ""
}

// isTypeOfJWT reports whether a header's "typ" is that of a JWT (RFC 7519, section 5.1)
// or of an access token that is one (RFC 9068, section 2.1). It is a media type, of
// which "application/" may be left out. Other kinds of JWT say other things, which
// must not be taken for a session's (RFC 8725, section 3.11).
func isTypeOfJWT(typ string) bool {
	const application = "application/"
	if len(typ) > len(application) && strings.EqualFold(typ[:len(application)], application) {
		typ = typ[len(application):]
	}
	return strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "at+jwt")
}
