package phantom

import (
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		for _, isSessionKey := range []bool{false, true} {
			p := New(isSessionKey)
			if !Is(p) || !Is(" \t"+p+"\n") || seen[p] || strings.HasPrefix(p, "sk-ant-sid") != isSessionKey || len(p) < 43 {
				t.Fatalf("New(%v) = %q", isSessionKey, p)
			}
			seen[p] = true
		}
	}
}

func TestIs(t *testing.T) {
	for _, text := range []string{"", "ingressauth", "sk-ant-sid01-key", "a ingressauth-phantom-", "sk-ant-cc-ingressauth-phantom-x"} {
		if Is(text) {
			t.Errorf("Is(%q)", text)
		}
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "/a/b": "/a/b", "/" + New(false) + "/x": "/#/x", "/" + New(true): "/#", New(true) + "," + New(false): "#,#",
	} {
		if got := Mask(in, "#"); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
}
