package verify

import (
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on JSON. They keep what an unverified token costs to read in proportion to
// its length.
const (
	maxDepth   = 32  // objects and arrays in each other
	maxMembers = 128 // of one object, and elements of an array that are looked at
	maxOfToken = 256 // members of all objects in a part of a token
)

// member is one of an object's members.
type member struct {
	name  string
	value value
}

// value is a JSON value that was found to be well formed, as it stands in its text.
// The zero value stands for one that is not there.
type value string

// parseObject reads one JSON object (RFC 8259) that fills text, and appends its
// members to those in room. It is stricter than most: the text is UTF-8 without a BOM,
// no object has two members of one name, escapes stand for Unicode (no lone surrogate)
// other than U+0000, and there are bounds, of which most is that on the members of all
// objects. It reports false for anything else.
func parseObject(text string, room []member, most int) ([]member, bool) {
	if !utf8.ValidString(text) {
		return nil, false
	}
	return value(text).fields(room, most)
}

// fields is parseObject for text that is UTF-8.
func (v value) fields(room []member, most int) ([]member, bool) {
	p := parser{text: string(v), members: room, left: most}
	p.space()
	if !p.object(1) {
		return nil, false
	}
	p.space()
	return p.members, p.at == len(p.text)
}

// lookUp returns the member of this name, or no value. A member that is null counts as
// one that is not there.
func lookUp(members []member, name string) value {
	for i := range members {
		if members[i].name == name {
			if members[i].value == "null" {
				return ""
			}
			return members[i].value
		}
	}
	return ""
}

// str returns the string that v is, and reports whether it is one.
func (v value) str() (string, bool) {
	if v == "" || v[0] != '"' {
		return "", false
	}
	return unescape(string(v[1 : len(v)-1])), true
}

func (v value) isArray() bool { return v != "" && v[0] == '[' }

// elements returns the elements of the array that v is. It reports false where v is
// none, or has more than most.
func (v value) elements(most int) ([]value, bool) {
	if !v.isArray() {
		return nil, false
	}
	var list []value
	p := parser{text: string(v), at: 1, left: len(v)}
	for p.space(); !p.take(']'); p.space() {
		if len(list) == most {
			return nil, false
		}
		p.take(',')
		p.space()
		begin := p.at
		p.value(1)
		list = append(list, v[begin:p.at])
	}
	return list, true
}

// parser goes over JSON once. members is a stack: an object's members stand on it
// while it is read, since they must differ, and those of the outermost stay.
type parser struct {
	text    string
	at      int
	members []member
	left    int // how many more members there may be, in all
}

// take steps over c, if it is next.
func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

func (p *parser) value(depth int) bool {
	if p.at == len(p.text) {
		return false
	}
	switch c := p.text[p.at]; c {
	case '"':
		_, _, ok := p.str()
		return ok
	case '{':
		below := len(p.members)
		ok := p.object(depth)
		p.members = p.members[:below]
		return ok
	case '[':
		return p.array(depth)
	case 't':
		return p.word("true")
	case 'f':
		return p.word("false")
	case 'n':
		return p.word("null")
	default:
		return p.number()
	}
}

func (p *parser) word(w string) bool {
	if !strings.HasPrefix(p.text[p.at:], w) {
		return false
	}
	p.at += len(w)
	return true
}

func (p *parser) object(depth int) bool {
	if !p.take('{') || depth > maxDepth {
		return false
	}
	if p.space(); p.take('}') {
		return true
	}
	first := len(p.members)
	for {
		p.space()
		name, escapes, ok := p.str()
		if !ok {
			return false
		}
		if escapes {
			name = unescape(name)
		}
		if p.left--; p.left < 0 || len(p.members)-first == maxMembers {
			return false
		}
		for i := first; i < len(p.members); i++ {
			if p.members[i].name == name {
				return false
			}
		}
		if p.space(); !p.take(':') {
			return false
		}
		p.space()
		p.members = append(p.members, member{name: name})
		mine, begin := len(p.members)-1, p.at
		if !p.value(depth + 1) {
			return false
		}
		p.members[mine].value = value(p.text[begin:p.at])
		p.space()
		if p.take('}') {
			return true
		}
		if !p.take(',') {
			return false
		}
	}
}

func (p *parser) array(depth int) bool {
	if p.at++; depth > maxDepth {
		return false
	}
	if p.space(); p.take(']') {
		return true
	}
	for {
		p.space()
		if !p.value(depth + 1) {
			return false
		}
		p.space()
		if p.take(']') {
			return true
		}
		if !p.take(',') {
			return false
		}
	}
}

// number steps over a number as RFC 8259, section 6, writes it.
func (p *parser) number() bool {
	p.take('-')
	if !p.take('0') && !p.digits() {
		return false
	}
	if p.take('.') && !p.digits() {
		return false
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		return p.digits()
	}
	return true
}

func (p *parser) digits() bool {
	begin := p.at
	for p.at < len(p.text) && p.text[p.at]-'0' <= 9 {
		p.at++
	}
	return p.at > begin
}

// str steps over a string. It returns what stands between its quotes, and whether there
// are escapes in that.
func (p *parser) str() (s string, escapes, ok bool) {
	if !p.take('"') {
		return "", false, false
	}
	begin := p.at
	for {
		p.at += plain(p.text[p.at:])
		if p.take('"') {
			return p.text[begin : p.at-1], escapes, true
		}
		n := escape(p.text[p.at:])
		if n == 0 { // a control character, or the end
			return "", false, false
		}
		p.at += n
		escapes = true
	}
}

// plain returns how many bytes s begins with that are neither a quote, nor a backslash,
// nor a control character. It looks at eight at a time, which is most of what a token's
// JSON costs.
func plain(s string) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		eight := s[n : n+8]
		x := uint64(eight[0]) | uint64(eight[1])<<8 | uint64(eight[2])<<16 | uint64(eight[3])<<24 |
			uint64(eight[4])<<32 | uint64(eight[5])<<40 | uint64(eight[6])<<48 | uint64(eight[7])<<56
		// In each, the high bit of the first byte that it is about is right.
		control := (x - ones*0x20) &^ x
		quote := x ^ ones*'"'
		quote = (quote - ones) &^ quote
		backslash := x ^ ones*'\\'
		backslash = (backslash - ones) &^ backslash
		if found := (control | quote | backslash) & highs; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for n < len(s) && s[n] >= 0x20 && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}

// escape returns how long the escape is that s begins with: 0 where it is none. Two
// surrogates are one.
func escape(s string) int {
	if len(s) < 2 || s[0] != '\\' {
		return 0
	}
	if s[1] != 'u' {
		if strings.IndexByte(`"\/bfnrt`, s[1]) < 0 {
			return 0
		}
		return 2
	}
	switch r := hex4(s); {
	case r <= 0: // none, or U+0000
		return 0
	case !utf16.IsSurrogate(r):
		return 6
	case len(s) >= 12 && s[6] == '\\' && s[7] == 'u' && utf16.DecodeRune(r, hex4(s[6:])) != utf8.RuneError:
		return 12
	}
	return 0
}

// hex4 reads \uXXXX, and returns -1 where s does not begin so.
func hex4(s string) rune {
	if len(s) < 6 {
		return -1
	}
	var r rune
	for _, c := range []byte(s[2:6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape returns the text that stands between a string's quotes as s, which was
// found to be well formed.
func unescape(s string) string {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for ; i >= 0; i = strings.IndexByte(s, '\\') {
		b.WriteString(s[:i])
		s = s[i:]
		n := escape(s)
		switch c := s[1]; c {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r := hex4(s)
			if n == 12 {
				r = utf16.DecodeRune(r, hex4(s[6:]))
			}
			b.WriteRune(r)
		default:
			b.WriteByte(c)
		}
		s = s[n:]
	}
	b.WriteString(s)
	return b.String()
}
