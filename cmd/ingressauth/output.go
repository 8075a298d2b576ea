package main

// What goes where:
//
//   - Standard output has the answer and nothing else.
//   - Standard error has one line that says what is wrong, then a line "hint:"
//     that says what to do. Of tokens on standard input, each that is wrong has a
//     line before.
//   - Colour is for status alone, on a terminal alone, and not under NO_COLOR.

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// output is standard output. It remembers that something could not be written, so
// that nothing goes missing unsaid.
type output struct {
	io.Writer
	err error // the first
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// complain says what is wrong on one line, and what to do on another.
func complain(w io.Writer, err error, hint string) {
	warn(w, err.Error())
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// warn says something on one line, with nothing in it that could harm a terminal:
// servers and proxies have a say in some messages.
func warn(w io.Writer, message string) {
	fmt.Fprintf(w, "ingressauth: %s\n", printable(strings.ReplaceAll(message, "\n", "; ")))
}

// printable is text without what could harm a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// palette colours words, or does not.
type palette bool

// paletteFor returns the palette for what is written to w.
func paletteFor(w io.Writer) palette {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
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
