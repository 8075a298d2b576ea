package main

import (
	"strings"
	"testing"
)

type closer struct{ strings.Builder }

func (*closer) Close() error { return nil }

// TestFeed has each command begin with a line, and lose none that is whole.
func TestFeed(t *testing.T) {
	f := newFeed(nil, nil)
	var commands []*closer
	next := func() {
		f.connect(nil)
		commands = append(commands, &closer{})
		f.connect(commands[len(commands)-1])
	}
	for _, step := range []string{"", "one\nabc", "", "def\n", "", "whole\ngh", "", "ij", "kl\nsecond\n", "", "third\n"} {
		if step == "" {
			next()
		} else if err := f.pass([]byte(step)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"one\nabc", "", "whole\ngh", "second\n", "third\n"}
	for i, c := range commands {
		if c.String() != want[i] {
			t.Errorf("command %d has got %q, want %q", i, c.String(), want[i])
		}
	}
}
