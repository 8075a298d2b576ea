package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// message is what a line of the type says.
type message struct {
	values  map[string]string // of the variables, by name
	members []member          // the same in the line, in order
	// The object "variables", without its braces, is line[begin:end].
	begin, end int64
}

// member is line[begin:end], with the comma before it.
type member struct {
	name       string
	begin, end int64
}

// Reasons why a message is malformed. They show nothing of it.
var (
	errSyntax    = errors.New("it is not JSON")
	errUTF8      = errors.New("it is not UTF-8, or a value holds U+FFFD, which stands for what is not Unicode")
	errTooLong   = errors.New("it is longer than 1 MiB")
	errTrailing  = errors.New("something follows the object")
	errTwice     = errors.New("a member stands twice")
	errVariables = errors.New(`"variables" is missing, or not an object of strings`)
)

// parse reads a line, and reports whether it is of the type. If it is, the error
// says why it is malformed.
func parse(line []byte) (m message, ours bool, err error) {
	if !bytes.Contains(line, []byte(updateType)) && !bytes.Contains(line, []byte(`\u`)) {
		return message{}, false, nil // most lines
	}
	p := newParser(line)
	switch err := p.object(); {
	case !p.ours:
		return message{}, false, nil
	case err != nil:
		return message{}, true, err
	case !utf8.Valid(line):
		return message{}, true, errUTF8
	case p.problem != nil:
		return message{}, true, p.problem
	case p.values == nil:
		return message{}, true, errVariables
	}
	return p.message, true, nil
}

// parser goes over a line by tokens: encoding/json's own way to fill a struct takes
// names in any case and twice, and nests to a limit.
type parser struct {
	*json.Decoder
	message
	ours    bool
	types   int   // how many members are called "type"
	problem error // the first, if the line is JSON
}

func newParser(line []byte) *parser {
	p := &parser{Decoder: json.NewDecoder(bytes.NewReader(line))}
	p.UseNumber() // of any size
	return p
}

func (p *parser) object() error {
	if t, err := p.Token(); err != nil || t != json.Delim('{') {
		return errSyntax
	}
	for p.More() {
		name, value, err := p.pair()
		if err != nil {
			return err
		}
		switch name {
		case "type":
			if p.types++; p.types > 1 {
				p.note(errTwice)
			}
			p.ours = p.ours || value == updateType
			err = p.skip(value)
		case "variables":
			err = p.variables(value)
		default:
			err = p.skip(value)
		}
		if err != nil {
			return err
		}
	}
	if _, err := p.Token(); err != nil {
		return errSyntax
	}
	if _, err := p.Token(); err != io.EOF {
		return errTrailing
	}
	return nil
}

// variables reads the value of "variables", which begins with this token.
func (p *parser) variables(first json.Token) error {
	if p.values != nil {
		p.note(errTwice)
	}
	if first != json.Delim('{') {
		p.note(errVariables)
		return p.skip(first)
	}
	p.values, p.members = map[string]string{}, nil
	p.begin = p.InputOffset()
	p.end = p.begin
	for p.More() {
		name, value, err := p.pair()
		if err != nil {
			return err
		}
		text, ok := value.(string)
		if !ok {
			p.note(errVariables)
			if err := p.skip(value); err != nil {
				return err
			}
		}
		if _, twice := p.values[name]; twice {
			p.note(errTwice)
		}
		p.values[name] = text
		p.members = append(p.members, member{name, p.end, p.InputOffset()})
		p.end = p.InputOffset()
	}
	if _, err := p.Token(); err != nil {
		return errSyntax
	}
	p.end = p.InputOffset() - 1
	return nil
}

// pair reads the name of a member, and the first token of its value.
func (p *parser) pair() (name string, value json.Token, err error) {
	t, err := p.Token()
	name, ok := t.(string)
	if err != nil || !ok {
		return "", nil, errSyntax
	}
	if value, err = p.Token(); err != nil {
		return "", nil, errSyntax
	}
	return name, value, nil
}

func (p *parser) note(problem error) {
	if p.problem == nil {
		p.problem = problem
	}
}

// skip reads to the end of the value that begins with this token.
func (p *parser) skip(first json.Token) error {
	depth := 0
	for t := first; ; {
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		var err error
		if t, err = p.Token(); err != nil {
			return errSyntax
		}
	}
}

// without returns the message's line less some of its variables. All else in it
// stays as it is, but for white space between variables.
func (m message) without(line []byte, some func(name string) bool) []byte {
	var kept []string
	for _, v := range m.members {
		if !some(v.name) {
			kept = append(kept, strings.TrimLeft(string(line[v.begin:v.end]), ", \t\r"))
		}
	}
	return bytes.Join([][]byte{line[:m.begin], []byte(strings.Join(kept, ",")), line[m.end:]}, nil)
}
