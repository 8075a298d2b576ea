package broker

import (
	"errors"
	"strings"
)

// target is where a request is to go, in the one form that is compared and sent.
type target struct {
	path  string
	query string // with its "?"
	// doubtful says that servers differ on what the path means: it holds an encoded slash
	// or control character, a backslash, or dots before a semicolon.
	doubtful bool
}

var (
	errNoPath      = errors.New("the target is no path")
	errOctet       = errors.New("the target holds a character that no target has")
	errTwoSlashes  = errors.New("the path begins with two slashes, as an authority does")
	errHalfEncoded = errors.New("a percent sign in the path is not followed by two hexadecimal digits")
)

// normalize reads a request target in origin form (RFC 9112, section 3.2.1). Of a path it
// decodes what needs no encoding, encodes what does, has hexadecimal digits be capitals
// (RFC 3986, section 6.2.2), and takes dot segments out. Slashes stay as many as they are. A
// query stays as it is.
func normalize(s string) (target, error) {
	if s == "" || s[0] != '/' {
		return target{}, errNoPath
	}
	for i := range len(s) { // HTTP/2 lets them through
		if c := s[i]; c <= ' ' || c >= 0x7F || c == '#' {
			return target{}, errOctet
		}
	}
	var t target
	t.path = s
	if i := strings.IndexByte(s, '?'); i >= 0 {
		t.path, t.query = s[:i], s[i:]
	}
	if !isNormal(t.path) {
		if err := t.rewrite(); err != nil {
			return target{}, err
		}
	}
	if strings.HasPrefix(t.path, "//") {
		return target{}, errTwoSlashes
	}
	return t, nil
}

// isNormal reports whether there is nothing to do, as in most paths.
func isNormal(path string) bool {
	for i := range len(path) {
		c := path[i]
		if !pathOctets[c] || c == '.' && path[i-1] == '/' { // which there is: it begins with one
			return false
		}
	}
	return true
}

// rewrite does what is to be done.
func (t *target) rewrite() error {
	path := t.path
	var b strings.Builder
	b.Grow(len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return errHalfEncoded
			}
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
			if isUnreserved(c) {
				b.WriteByte(c)
				continue
			}
		} else if pathOctets[c] {
			b.WriteByte(c)
			continue
		}
		if c < ' ' || c == 0x7F || c == '/' || c == '\\' {
			t.doubtful = true
		}
		const digits = "0123456789ABCDEF"
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	var kept []string
	segments := strings.Split(b.String()[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case "..":
			kept = kept[:max(0, len(kept)-1)]
			fallthrough
		case ".":
			if last {
				kept = append(kept, "")
			}
			continue
		}
		name, _, parameters := strings.Cut(s, ";")
		if !parameters {
			name, _, parameters = strings.Cut(s, "%3B")
		}
		if parameters && (name == "." || name == "..") {
			t.doubtful = true
		}
		kept = append(kept, s)
	}
	t.path = "/" + strings.Join(kept, "/")
	return nil
}

// pathOctets are those that stand in a path as they are (RFC 3986, section 3.3).
var pathOctets = func() (set [256]bool) {
	for c := range set {
		set[c] = isUnreserved(byte(c)) || c < 0x80 && strings.IndexByte("!$&'()*+,;=:@/", byte(c)) >= 0
	}
	return set
}()

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
