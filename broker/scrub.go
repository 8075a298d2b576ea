package broker

import (
	"io"
	"net/textproto"
	"strings"
)

// mask stands where a token was.
const mask = "[masked]"

// reveals reports whether the name of a field holds a token, which it may in any case.
func reveals(name string, texts []string) bool {
	for _, text := range texts {
		if len(name) >= len(text) && strings.Contains(strings.ToLower(name), strings.ToLower(text)) {
			return true
		}
	}
	return false
}

// scrubbed returns values without these texts: values itself where they are not there.
func scrubbed(values, texts []string) []string {
	var changed []string
	for i, value := range values {
		for _, text := range texts {
			if len(value) < len(text) || !strings.Contains(value, text) {
				continue
			}
			if changed == nil {
				changed = append(changed, values...)
			}
			value = strings.ReplaceAll(value, text, mask)
			changed[i] = value
		}
	}
	if changed != nil {
		return changed
	}
	return values
}

// otherCookies returns the values of Set-Cookie fields but those for the session key.
func otherCookies(values []string) (others []string) {
	for _, value := range values {
		pair, _, _ := strings.Cut(value, ";")
		name, _, _ := strings.Cut(pair, "=")
		if textproto.TrimString(name) != cookieName {
			others = append(others, value)
		}
	}
	return others
}

// scrubber reads what another reader has, without any token. It holds back no more than what
// may be the beginning of one.
type scrubber struct {
	from  io.Reader
	texts func() []string // may come to be more meanwhile

	held []byte // what was read, and may be the beginning
	out  []byte // what is to be passed on
	err  error
	raw  [16 << 10]byte
}

func newScrubber(from io.Reader, texts func() []string) *scrubber {
	return &scrubber{from: from, texts: texts}
}

func (s *scrubber) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		n, err := s.from.Read(s.raw[:])
		s.take(s.raw[:n], err)
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// take decides on what was held and what came after it.
func (s *scrubber) take(b []byte, err error) {
	texts := s.texts()
	rest := string(s.held) + string(b)
	var out strings.Builder
	for {
		at, text := first(rest, texts)
		if text == "" || err == nil && mayBeLonger(rest[at:], texts) {
			break
		}
		out.WriteString(rest[:at])
		out.WriteString(mask)
		rest = rest[at+len(text):]
	}
	keep := 0
	for _, t := range texts {
		keep = max(keep, overlap(rest, t))
	}
	if err != nil && err != io.EOF && keep > 0 { // it would have become one, perhaps
		rest = rest[:len(rest)-keep]
	}
	if err != nil {
		keep = 0
	}
	out.WriteString(rest[:len(rest)-keep])
	s.out = []byte(out.String())
	s.held = append(s.held[:0], rest[len(rest)-keep:]...)
	s.err = err
}

// first returns where the first of these texts is in s, which have the longest first, and which
// one it is; "" if there is none.
func first(s string, texts []string) (at int, text string) {
	for _, t := range texts {
		if i := strings.Index(s, t); i >= 0 && (text == "" || i < at) {
			at, text = i, t
		}
	}
	return at, text
}

// mayBeLonger reports whether s is the beginning of a longer one of these.
func mayBeLonger(s string, texts []string) bool {
	for _, t := range texts {
		if len(t) > len(s) && strings.HasPrefix(t, s) {
			return true
		}
	}
	return false
}

// overlap returns how long the longest end of s is that t begins with and that is not all of t.
func overlap(s, t string) int {
	for n := min(len(s), len(t)-1); n > 0; n-- {
		if s[len(s)-n:] == t[:n] {
			return n
		}
	}
	return 0
}
