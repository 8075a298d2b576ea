package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// oneOf is a flag's value that is one of a few words.
type oneOf struct {
	value string
	words []string
}

// addOutput adds the flag --output with these formats, of which the first is the
// default.
func addOutput(cmd *cobra.Command, formats ...string) *oneOf {
	o := &oneOf{formats[0], formats}
	cmd.Flags().VarP(o, "output", "o", "`format`: "+o.Type())
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return o
}

func (o *oneOf) String() string { return o.value }

func (o *oneOf) Type() string { return strings.Join(o.words, ", ") }

func (o *oneOf) takes() string { return "one of " + o.Type() }

func (o *oneOf) Set(s string) error {
	if !slices.Contains(o.words, s) {
		return errors.New("not one of them")
	}
	o.value = s
	return nil
}

// parsePairs reads the values NAME=VALUE of a flag.
func parsePairs(flag string, values []string) (pairs [][2]string, err error) {
	for _, v := range values {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usageError("--" + flag + " takes NAME=VALUE")
		}
		pairs = append(pairs, [2]string{name, value})
	}
	return pairs, nil
}

// flagError says what is wrong with a flag, and shows nothing that was typed, as
// that may be a token.
func flagError(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &value):
		takes := "is on or off, and takes no value"
		if v, ok := value.GetFlag().Value.(interface{ takes() string }); ok {
			takes = "takes " + v.takes()
		}
		return usageError("--" + value.GetFlag().Name + " " + takes)
	case errors.As(err, &missing):
		return usageError("--" + missing.GetFlag().Name + " needs a value")
	}
	return usageError(cmd.CommandPath() + " has no such flag")
}
