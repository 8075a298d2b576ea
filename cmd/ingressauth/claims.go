package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
)

// requirementError is a requirement of the caller's that a token's claims do not meet.
// It shows no value.
type requirementError string

func (e requirementError) Error() string { return string(e) }

// path leads to a value in claims: names of members and numbers of elements, from the
// outermost.
type path []string

// parsePath reads a path as users write it: its steps with a dot between them. In a
// name, "\." is a dot and "\\" a backslash.
func parsePath(s string) path {
	var p path
	var step strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			step.WriteByte(s[i])
		case s[i] == '.':
			p = append(p, step.String())
			step.Reset()
		default:
			step.WriteByte(s[i])
		}
	}
	return append(p, step.String())
}

// String writes a path as parsePath reads it.
func (p path) String() string {
	steps := make([]string, len(p))
	for i, s := range p {
		steps[i] = strings.NewReplacer(`\`, `\\`, `.`, `\.`).Replace(s)
	}
	return strings.Join(steps, ".")
}

// in returns the value that p leads to. Null counts as nothing.
func (p path) in(claims json.RawMessage) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(claims))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
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
// as it is, anything else as JSON.
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

// parsePairs reads the values NAME=VALUE of a flag.
func parsePairs(flag, form string, values []string) (pairs [][2]string, err error) {
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usageError("--" + flag + " takes " + form)
		}
		pairs = append(pairs, [2]string{name, value})
	}
	return pairs, nil
}

// require checks that the value at p is this one.
func require(claims json.RawMessage, p path, want string) error {
	v, ok := p.in(claims)
	if !ok {
		return noClaim(p)
	}
	if text, ok := scalar(v); !ok || text != want {
		return requirementError(fmt.Sprintf("the token is good, but its claim %q is not what --require says", p))
	}
	return nil
}

func noClaim(p path) error {
	return requirementError(fmt.Sprintf("the token is good, but has no claim %q", p))
}

// valueText returns what --get prints.
func valueText(claims json.RawMessage, p path) (string, error) {
	v, ok := p.in(claims)
	if !ok {
		return "", noClaim(p)
	}
	text, isScalar := scalar(v)
	if !isScalar {
		b, err := json.Marshal(v)
		if err != nil {
			return "", err
		}
		text = escaped(string(b))
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", requirementError(fmt.Sprintf("the token is good, but its claim %q holds a control character, which a script would stumble over", p))
	}
	return text + "\n", nil
}

// claimsJSON returns claims as JSON that is safe on a terminal: indented, or on one
// line.
func claimsJSON(claims json.RawMessage, line bool) (string, error) {
	var b bytes.Buffer
	var err error
	if line {
		err = json.Compact(&b, claims)
	} else {
		err = json.Indent(&b, claims, "", "  ")
	}
	return escaped(b.String()) + "\n", err
}

// escaped returns JSON with what does not print, in strings, as escapes. Elsewhere it
// has no such characters but spaces and line breaks.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsPrint(r) || r == '\n':
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// claimsText returns claims for people: a line a value, with its path, in the order in
// which they are written, and times spelled out.
func claimsText(claims json.RawMessage, now time.Time) (string, error) {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	d := json.NewDecoder(bytes.NewReader(claims))
	d.UseNumber()
	err := walk(d, nil, func(p path, v any) {
		text, isString := v.(string)
		switch {
		case !isString:
			text = fmt.Sprint(v)
			if t, ok := dateOf(p, v); ok {
				text = spelled(t, now)
			}
		case text == "":
			text = `""`
		}
		fmt.Fprintf(table, "%s\t%s\n", printable(p.String()), printable(text))
	})
	if err == nil {
		err = table.Flush()
	}
	return b.String(), err
}

// walk calls do for each value below p that is neither an object nor an array with
// anything in it.
func walk(d *json.Decoder, p path, do func(path, any)) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		if token == nil {
			token = "null"
		}
		do(p, token)
		return nil
	}
	closing := map[json.Delim]string{'{': "}", '[': "]"}[delim]
	if !d.More() {
		do(p, delim.String()+closing)
	}
	for n := 0; d.More(); n++ {
		step := strconv.Itoa(n)
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			step, _ = name.(string)
		}
		// A copy, which the next step at this depth does not change.
		if err := walk(d, append(p[:len(p):len(p)], step), do); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// dateOf returns the time that one of the claims for times says (RFC 7519, section
// 4.1).
func dateOf(p path, v any) (time.Time, bool) {
	number, ok := v.(json.Number)
	if !ok || len(p) != 1 || p[0] != "exp" && p[0] != "nbf" && p[0] != "iat" {
		return time.Time{}, false
	}
	whole, _, _ := strings.Cut(number.String(), ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	const last = 253402300799 // 9999-12-31T23:59:59Z
	return time.Unix(seconds, 0).UTC(), err == nil && seconds >= 0 && seconds <= last
}

// spelled is a time, and how far from now it is.
func spelled(t, now time.Time) string {
	far := fmt.Sprintf("%v ago", now.Sub(t).Round(time.Second))
	if left := t.Sub(now).Round(time.Second); left > 0 {
		far = fmt.Sprintf("in %v", left)
	}
	return t.Format(time.RFC3339) + " (" + far + ")"
}

// errNoClaims says that a token is not a JWT, of which alone claims can be read.
var errNoClaims = errors.New("it is not a JWT, so it has no claims to show")
