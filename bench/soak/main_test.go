package main

import (
	"testing"
	"time"
)

// TestSoak has it run for a few seconds. CI runs it for minutes.
func TestSoak(t *testing.T) {
	r, err := soak(4 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if err := r.check(); err != nil {
		t.Error(err)
	}
}
