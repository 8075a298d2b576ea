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

// maxLine bounds what is kept of a line of standard input, in bytes. No token is as
// long.
const maxLine = 64<<10 + 1

// orDash takes no argument, or "-" for standard input.
func orDash(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || len(args) == 1 && args[0] == "-" {
		return nil
	}
	return usageError(cmd.CommandPath() + " takes no argument but -, for standard input (a token there would be seen by every user of this machine)")
}

// fromInput reports whether the tokens are to be read from standard input.
func fromInput(cmd *cobra.Command) bool { return cmd.Flags().NArg() > 0 }

// eachToken calls do with the token that r finds or, if the argument is "-", with each
// line of standard input. One line's failure is told on standard error and is not the
// next one's, unless it is of what all need.
func eachToken(cmd *cobra.Command, r *ingressauth.Resolver, do func(token string) error) error {
	if !fromInput(cmd) {
		t, err := r.Token(cmd.Context())
		if err != nil {
			return err
		}
		return do(t.Reveal())
	}
	in := bufio.NewReaderSize(cmd.InOrStdin(), maxLine)
	var first error
	tokens, failed := 0, 0
	for number := 1; ; number++ {
		line, end := readLine(in)
		if end != nil && end != io.EOF {
			return fmt.Errorf("read standard input: %w", end)
		}
		if line = strings.TrimSpace(line); line != "" {
			tokens++
			if err := do(line); err != nil {
				if isOfAll(err) {
					return fmt.Errorf("line %d: %w", number, err)
				}
				if failed++; first == nil {
					first = err
				}
				warn(cmd.ErrOrStderr(), fmt.Sprintf("line %d: %v", number, err))
			}
		}
		if end == io.EOF {
			break
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

// readLine returns the next line, or of one that no token fits in its beginning.
func readLine(in *bufio.Reader) (string, error) {
	b, err := in.ReadSlice('\n')
	line := string(b)
	for err == bufio.ErrBufferFull {
		_, err = in.ReadSlice('\n')
	}
	return line, err
}

// isOfAll reports whether a failure would be every token's.
func isOfAll(err error) bool {
	if refusal, ok := errors.AsType[*verify.Refusal](err); ok {
		return isUnavailable(refusal)
	}
	return !errors.As(err, new(requirementError)) && !errors.Is(err, errNoClaims)
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
