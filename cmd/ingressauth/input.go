package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/spf13/cobra"
)

// maxLine bounds a line of standard input, in bytes. No token is longer.
const maxLine = 64 << 10

// orDash takes no argument, or "-" for standard input.
func orDash(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || len(args) == 1 && args[0] == "-" {
		return nil
	}
	return usageError(cmd.CommandPath() + " takes no argument but -, for standard input (a token there would be seen by every user of this machine)")
}

// fromInput reports whether the tokens are to be read from standard input.
func fromInput(cmd *cobra.Command) bool { return cmd.Flags().NArg() > 0 }

// eachToken prints what show returns of the token that r finds or, if the argument is
// "-", of each line of standard input. There each line has its line of output, whatever
// is in it, so that nobody can take one for another's: where show fails, or nothing is in
// it, that is empty. What is wrong is told on standard error, and is not the next
// line's, unless it is of what all need.
func eachToken(cmd *cobra.Command, r *ingressauth.Resolver, empty string, show func(token string) (string, error)) error {
	if !fromInput(cmd) {
		t, err := r.Token(cmd.Context())
		if err != nil {
			return err
		}
		text, err := show(t.Reveal())
		if err != nil {
			return err
		}
		return printLine(cmd, text)
	}
	in := bufio.NewReaderSize(cmd.InOrStdin(), maxLine+1)
	var tokens, failed int
	var first error
	for number := 1; ; number++ {
		line, err := readLine(in)
		if err == io.EOF {
			break
		}
		text := empty
		if line != "" || err != nil {
			tokens++
			if err == nil {
				text, err = show(line)
			}
		}
		if err != nil {
			text = empty
			err = fmt.Errorf("line %d: %w", number, err)
			if isOfAll(err) {
				return err
			}
			if failed++; first == nil {
				first = err
			}
			warn(cmd.ErrOrStderr(), err.Error())
		}
		if err := printLine(cmd, text); err != nil {
			return err
		}
	}
	switch {
	case tokens == 0:
		return hinted{fmt.Errorf("%w on standard input", ingressauth.ErrNoToken), "write tokens there, one a line"}
	case failed > 0:
		return &someFailed{failed, tokens, first}
	}
	return nil
}

func printLine(cmd *cobra.Command, text string) error {
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}

// errLongLine is what is wrong with a line that no token fits in. It is not looked at,
// since what can be kept of it is another text.
var errLongLine = &verify.Refusal{Reason: verify.Malformed}

// readLine returns the next line, without white space around it.
func readLine(in *bufio.Reader) (string, error) {
	b, err := in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		for err == bufio.ErrBufferFull {
			_, err = in.ReadSlice('\n')
		}
		return "", errLongLine
	}
	if err == io.EOF && len(b) > 0 {
		err = nil // that comes next
	}
	if err != nil && err != io.EOF {
		err = hinted{fmt.Errorf("read standard input: %w", err), "see what standard input is"}
	}
	return strings.Trim(string(b), " \t\r\n"), err
}

// isOfAll reports whether a failure would be every token's.
func isOfAll(err error) bool {
	if refusal, ok := errors.AsType[*verify.Refusal](err); ok {
		return isUnavailable(refusal)
	}
	return !errors.As(err, new(requirementError)) && !errors.Is(err, errNoClaims) && !errors.Is(err, errTooMuch)
}

func isUnavailable(r *verify.Refusal) bool {
	return r.Reason == verify.KeysUnavailable || r.Reason == verify.RevocationsUnavailable
}

// someFailed says how many tokens failed. It is judged like the first of them.
type someFailed struct {
	failed, tokens int
	first          error
}

func (e *someFailed) Error() string { return fmt.Sprintf("%d of %d tokens failed", e.failed, e.tokens) }
func (e *someFailed) Unwrap() error { return e.first }
