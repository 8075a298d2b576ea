package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
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
			return eachToken(cmd, r, func(token string) error {
				claims, err := claimsOf(token)
				if err != nil {
					return err
				}
				return printClaims(cmd, format, claims)
			})
		})
	cmd.Use += " [-]"
	cmd.Args = orDash
	format = addOutput(cmd, "json", "text")
	return cmd
}

// claimsOf returns the payload of a token that looks like a JWT, also of one behind a
// prefix, as far as it is JSON.
func claimsOf(token string) (json.RawMessage, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errNoClaims
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !utf8.Valid(payload) || !json.Valid(payload) {
		return nil, errNoClaims
	}
	return payload, nil
}

// printClaims prints the claims of one token: of several, each on a line of its own.
func printClaims(cmd *cobra.Command, format *oneOf, claims json.RawMessage) error {
	text, err := claimsJSON(claims, fromInput(cmd))
	if format.value == "text" {
		text, err = claimsText(claims, time.Now())
		if fromInput(cmd) {
			text += "\n" // between tokens
		}
	}
	if err != nil {
		return err
	}
	fmt.Fprint(cmd.OutOrStdout(), text)
	return nil
}
