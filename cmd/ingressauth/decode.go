package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ingressauth/ingressauth"
	"github.com/spf13/cobra"
)

func newDecode() *cobra.Command {
	var format *oneOf
	cmd := command("decode", "Print what a token claims, unchecked", `Print the claims of a token as JSON, or with -o text for people. The token is
found as 'token' finds it, or is each line of standard input if the argument
is "-".

Nothing is checked: anybody can write such a token. 'ingressauth verify' checks.`,
		func(cmd *cobra.Command, r *ingressauth.Resolver) error {
			warn(cmd.ErrOrStderr(), "nothing was checked: anybody can write such a token; 'ingressauth verify' checks")
			return eachToken(cmd, r, emptyOf(format), func(token string) (string, error) {
				claims, err := claimsOf(token)
				if err != nil {
					return "", err
				}
				return format.claims(claims, fromInput(cmd))
			})
		})
	cmd.Use += " [-]"
	cmd.Args = orDash
	format = addOutput(cmd, "json", "text")
	return cmd
}

// errNoClaims says that a token is none of which claims can be read.
var errNoClaims = errors.New("it is not a JWT, so it has no claims to show")

// claimsOf returns the payload of a token that looks like a JWT, also of one behind a
// prefix, as far as it is a JSON object.
func claimsOf(token string) (json.RawMessage, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errNoClaims
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !utf8.Valid(payload) || !json.Valid(payload) || strings.Trim(string(payload), " \t\r\n")[0] != '{' {
		return nil, errNoClaims
	}
	return payload, nil
}

// claims returns the claims of one token in this format: of one of several, as JSON on
// a line, or as text with an empty line after it.
func (o *oneOf) claims(claims json.RawMessage, several bool) (string, error) {
	if o.value == "text" {
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

// emptyOf is what stands for a token of several that is not shown.
func emptyOf(format *oneOf) string {
	if format.value == "text" {
		return ""
	}
	return "{}"
}
