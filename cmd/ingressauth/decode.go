package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
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
			return eachToken(cmd, r, showNone(format), func(token string) (string, error) {
				claims, err := claimsOf(token)
				if err != nil {
					return "", err
				}
				return showClaims(format, claims, fromInput(cmd))
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
