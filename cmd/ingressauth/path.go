package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// requirementError is what a good token lacks of what the caller demands. It shows
// nothing that was typed, and no value.
type requirementError string

func (e requirementError) Error() string { return "the token is good, but " + string(e) }

// path leads to a value in claims: names of members and numbers of elements, from the
// outermost.
type path []string

// parsePath reads a path as users write it: its steps with a dot between them. In a
// name "\." is a dot, "\\" a backslash and "\=" an equals sign. It ends before the first
// other equals sign; rest is what follows that, if hasRest.
func parsePath(s string) (p path, rest string, hasRest bool, err error) {
	var step strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i++; i == len(s) || strings.IndexByte(`.\=`, s[i]) < 0 {
				return nil, "", false, errors.New(`a backslash stands before a dot, a backslash or an equals sign`)
			}
			step.WriteByte(s[i])
		case c == '.':
			p = append(p, step.String())
			step.Reset()
		case c == '=':
			return append(p, step.String()), s[i+1:], true, nil
		default:
			step.WriteByte(c)
		}
	}
	return append(p, step.String()), "", false, nil
}

// String writes a path as parsePath reads it.
func (p path) String() string {
	steps := make([]string, len(p))
	for i, s := range p {
		steps[i] = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `=`, `\=`).Replace(s)
	}
	return strings.Join(steps, ".")
}

// tree returns claims as encoding/json has them, with numbers as they are written.
func tree(claims json.RawMessage) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(claims))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// in returns the value that p leads to. Null counts as nothing.
func (p path) in(v any) (any, bool) {
	for _, step := range p {
		switch outer := v.(type) {
		case map[string]any:
			v = outer[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(outer) || strconv.Itoa(n) != step {
				return nil, false
			}
			v = outer[n]
		default:
			return nil, false
		}
	}
	return v, v != nil
}

// scalar returns the text of a value that is neither an object nor an array: a string
// as it is, a number or a boolean as JSON.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// requirement is a value of --require.
type requirement struct {
	path path
	want string
}

func parseRequirements(values []string) (all []requirement, err error) {
	for _, s := range values {
		p, want, ok, err := parsePath(s)
		if err != nil {
			return nil, usageError("--require: " + err.Error())
		}
		if !ok || len(p) == 1 && p[0] == "" {
			return nil, usageError("--require takes PATH=VALUE")
		}
		all = append(all, requirement{p, want})
	}
	return all, nil
}

// checkAll checks that claims are what is required.
func checkAll(all []requirement, claims any) error {
	for n, r := range all {
		v, _ := r.path.in(claims)
		if text, ok := scalar(v); !ok || text != r.want {
			return requirementError(fmt.Sprintf("not what --require says (number %d of %d)", n+1, len(all)))
		}
	}
	return nil
}

// text returns what --get prints of claims: the value that p leads to.
func (p path) text(claims any) (string, error) {
	v, ok := p.in(claims)
	if !ok {
		return "", requirementError("nothing is where --get leads")
	}
	text, isScalar := scalar(v)
	if !isScalar {
		b, err := marshalLine(v)
		if err != nil {
			return "", err
		}
		return escaped(b), nil
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", requirementError("where --get leads is a character that does not print, which a script would stumble over")
	}
	return text, nil
}
