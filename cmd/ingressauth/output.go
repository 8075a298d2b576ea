package main

// What goes where:
//
//   - Standard output has the answer and nothing else.
//   - Standard error has one line that says what is wrong, then a line "hint:"
//     that says what to do.
//   - Colour is for status alone, on a terminal alone, and not under NO_COLOR.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/term"
)

// complain says what is wrong on one line, and what to do on another.
func complain(w io.Writer, err error, hint string) {
	message := strings.ReplaceAll(err.Error(), "\n", "; ")
	fmt.Fprintf(w, "ingressauth: %s\nhint: %s\n", message, hint)
}

// withoutArguments is cobra's error without the arguments that may hold a token
// that was put in the wrong place: all but flags and words.
func withoutArguments(err error, args []string) error {
	harmless := regexp.MustCompile(`^-{0,2}[a-z][a-z-]{0,19}$`)
	message := err.Error()
	for _, arg := range args {
		_, value, _ := strings.Cut(arg, "=")
		for _, s := range []string{arg, value} {
			if s != "" && !harmless.MatchString(s) {
				message = strings.ReplaceAll(message, s, "(hidden)")
			}
		}
	}
	return usageError{errors.New(message)}
}

// answer writes to standard output. An answer that could not be written is a failure.
func answer(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return hinted{fmt.Errorf("write standard output: %w", err), "see where standard output goes, and whether there is room"}
	}
	return nil
}

// palette colours words, or does not.
type palette bool

// paletteFor returns the palette for what is written to w.
func paletteFor(w io.Writer) palette {
	f, ok := w.(*os.File)
	return palette(ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
)

func (p palette) paint(colour, s string) string {
	if !p {
		return s
	}
	return colour + s + "\x1b[0m"
}
