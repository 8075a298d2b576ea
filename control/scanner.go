package control

// scanner goes over a line as far as it may be a message. It looks at braces,
// brackets and quotes alone, to see where the object ends; what is in it is for
// parse.
type scanner struct {
	state   state
	depth   int // of braces and brackets
	quoted  bool
	escaped bool // the next byte, in a string
}

type state int

const (
	blank  state = iota // nothing yet but white space
	opened              // a brace, and white space
	inside
	closed
)

type event int

const (
	undecided event = iota // after all bytes
	foreign                // the line is no message
	object                 // its object has ended
	lineEnd                // after the LF
)

// scan goes on to the next event, and returns after how many bytes it is.
func (s *scanner) scan(b []byte) (int, event) {
	for i, c := range b {
		if c == '\n' {
			return i + 1, lineEnd
		}
		switch s.state {
		case blank:
			switch {
			case c == '{':
				s.state = opened
			case !isSpace(c):
				return i + 1, foreign
			}
		case opened:
			switch {
			case c == '"':
				s.state, s.depth, s.quoted = inside, 1, true
			case !isSpace(c):
				return i + 1, foreign
			}
		case inside:
			if s.step(c); s.depth == 0 {
				s.state = closed
				return i + 1, object
			}
		}
	}
	return len(b), undecided
}

// step goes over a byte inside the object.
func (s *scanner) step(c byte) {
	switch {
	case s.escaped:
		s.escaped = false
	case s.quoted && c == '\\':
		s.escaped = true
	case c == '"':
		s.quoted = !s.quoted
	case s.quoted:
	case c == '{' || c == '[':
		s.depth++
	case c == '}' || c == ']':
		s.depth--
	}
}

// isSpace reports whether c is JSON white space. LF ends the line.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
