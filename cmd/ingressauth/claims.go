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

// Bounds on what is shown, since 'decode' shows what anybody wrote.
const (
	maxShownDepth = 100
	maxShownText  = 1 << 20
)

var errTooMuch = errors.New("there is more in it than can be shown so, and than any session's token has")

// showClaims returns the claims of one token in this format: of one of several, as JSON
// on a line, or as text with an empty line after it.
func showClaims(format *oneOf, claims json.RawMessage, several bool) (string, error) {
	if format.value == "text" {
		text, err := claimsText(claims, time.Now())
		if several {
			text += "\n"
		}
		return text, err
	}
	// JSON is indented by as much as its values are in each other.
	if err := walk(claims, func(path, any) error { return nil }); err != nil {
		return "", err
	}
	return claimsJSON(claims, several)
}

// showNone is what stands for one of several tokens that is not shown.
func showNone(format *oneOf) string {
	if format.value == "text" {
		return ""
	}
	return "{}"
}

// claimsJSON returns claims as JSON that is safe on a terminal: indented, or on one
// line.
func claimsJSON(claims json.RawMessage, line bool) (string, error) {
	claims = bytes.Trim(claims, " \t\r\n")
	var b bytes.Buffer
	var err error
	if line {
		err = json.Compact(&b, claims)
	} else {
		err = json.Indent(&b, claims, "", "  ")
	}
	return escaped(b.String()), err
}

// escaped returns JSON with what does not print, in strings, as escapes. Elsewhere it
// has no such characters but line breaks.
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
	size := 0
	err := walk(claims, func(p path, v any) error {
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
		line := printable(p.String()) + "\t" + printable(text) + "\n"
		if size += len(line); size > maxShownText {
			return errTooMuch
		}
		fmt.Fprint(table, line)
		return nil
	})
	if err == nil {
		err = table.Flush()
	}
	return strings.TrimSuffix(b.String(), "\n"), err
}

// walk calls do for each value in claims that is neither an object nor an array with
// anything in it. The path is do's until it returns.
func walk(claims json.RawMessage, do func(path, any) error) error {
	d := json.NewDecoder(bytes.NewReader(claims))
	d.UseNumber()
	var p path
	var value func() error
	value = func() error {
		token, err := d.Token()
		if err != nil {
			return err
		}
		delim, ok := token.(json.Delim)
		switch {
		case token == nil:
			return do(p, "null")
		case !ok:
			return do(p, token)
		case !d.More():
			if err := do(p, map[json.Delim]string{'{': "{}", '[': "[]"}[delim]); err != nil {
				return err
			}
		case len(p) == maxShownDepth:
			return errTooMuch
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
			p = append(p, step)
			if err := value(); err != nil {
				return err
			}
			p = p[:len(p)-1]
		}
		_, err = d.Token() // the end of it
		return err
	}
	return value()
}

// dateOf returns the time that one of the claims for times says (RFC 7519, section
// 4.1).
func dateOf(p path, v any) (time.Time, bool) {
	number, ok := v.(json.Number)
	if !ok || len(p) != 1 || p[0] != "exp" && p[0] != "nbf" && p[0] != "iat" {
		return time.Time{}, false
	}
	whole, fraction, _ := strings.Cut(number.String(), ".")
	seconds, err := strconv.ParseUint(whole, 10, 63)
	const last = 253402300799 // 9999-12-31T23:59:59Z
	ok = err == nil && seconds <= last && strings.Trim(fraction, "0123456789") == ""
	return time.Unix(int64(seconds), 0).UTC(), ok
}

// spelled is a time, and how far from now it is if that is imaginable.
func spelled(t, now time.Time) string {
	s := t.Format(time.RFC3339)
	switch left := t.Sub(now).Round(time.Second); {
	case left.Abs() > 100*365*24*time.Hour:
	case t.After(now):
		s += fmt.Sprintf(" (in %v)", left)
	default:
		s += fmt.Sprintf(" (%v ago)", -left)
	}
	return s
}
