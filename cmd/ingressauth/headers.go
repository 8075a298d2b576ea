package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ingressauth/ingressauth"
	"github.com/spf13/cobra"
)

func newHeaders() *cobra.Command {
	var format *oneOf
	cmd := command("headers", "Print the request headers that carry the token", `Print the request headers that carry this session's token, one a line:

  ingressauth headers | curl -H @- https://service.example/

With -o json they are one JSON object of name to value, and with -o curl the
lines of a curl configuration file, for 'curl -K -'. Like 'token', it consumes a
descriptor that is a pipe or a socket.`,
		func(cmd *cobra.Command, r *ingressauth.Resolver) error {
			t, err := r.Token(cmd.Context())
			if err != nil {
				return err
			}
			h := make(http.Header)
			t.SetHeader(h)
			text, err := headerFormats[format.value](h)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		})
	format = addOutput(cmd, "header", "json", "curl")
	return cmd
}

// headerFormats are what --output can be. A token's fields have one value each.
var headerFormats = map[string]func(http.Header) (string, error){
	"header": func(h http.Header) (string, error) {
		return eachField(h, func(name, value string) string { return name + ": " + value }), nil
	},
	"curl": func(h http.Header) (string, error) {
		return eachField(h, func(name, value string) string {
			return `header = "` + curlQuote.Replace(name+": "+value) + `"`
		}), nil
	},
	"json": func(h http.Header) (string, error) {
		object := make(map[string]string)
		for name := range h {
			if object[name] = h.Get(name); !utf8.ValidString(object[name]) {
				return "", errors.New("the token is not UTF-8, which JSON cannot carry; take another --output")
			}
		}
		return marshal(object)
	},
}

func eachField(h http.Header, line func(name, value string) string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		b.WriteString(line(name, h.Get(name)) + "\n")
	}
	return b.String()
}

// curlQuote escapes what curl(1), under --config, unescapes in double quotes.
var curlQuote = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// marshal returns v as JSON, indented, with a newline. There is no HTML here.
func marshal(v any) (string, error) { return encode(v, "  ") }

// marshalLine returns v as JSON on one line, without a newline.
func marshalLine(v any) (string, error) {
	s, err := encode(v, "")
	return strings.TrimSuffix(s, "\n"), err
}

func encode(v any, indent string) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return b.String(), err
}
