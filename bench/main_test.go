package main

import (
	"os"
	"testing"
)

// TestCases runs what is measured once, so that the measurement cannot rot.
func TestCases(t *testing.T) {
	cases, err := finding(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cases = append(cases, sending()...)
	more, err := verifying()
	if err != nil {
		t.Fatal(err)
	}
	cases = append(cases, more...)
	for _, n := range []int{1, 1000} {
		c, err := keeping(n)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, *c)
	}
	for _, c := range cases {
		if c.prepare != nil {
			c.prepare()
		}
		if c.setup != nil {
			if err := c.setup(); err != nil {
				t.Fatal(err)
			}
		}
		c.reference()
		c.do() // it panics where it finds no token, or refuses one
		if n := c.allocates(); c.ratio+c.nanoseconds > 0 && n > c.allocations {
			t.Errorf("%s: %v allocations, of %v", c.what, n, c.allocations)
		}
	}
	for _, v := range []string{profile.TokenVariable, profile.FileVariable, profile.OrganizationVariable} {
		os.Unsetenv(v)
	}
}

func TestSpread(t *testing.T) {
	sample := make([]float64, 101)
	for i := range sample {
		sample[i] = float64(100 - i)
	}
	if got, want := spreadOf(sample), (spread{50, 10, 90}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}
