package tokentext_test

import (
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth/internal/tokentext"
)

func FuzzTrimSpace(f *testing.F) {
	for _, s := range []string{"", " \t\v\f\n\r\u2028\u2029\uFEFF\u00a0\u3000x y\u1680 ", "\u0085x\u200b", "\xff \xfe"} {
		f.Add(s)
	}
	// ECMAScript's WhiteSpace and LineTerminator, spelled out.
	const spaces = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\uFEFF"
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := tokentext.TrimSpace(s), strings.Trim(s, spaces); got != want {
			t.Errorf("TrimSpace(%q) = %q, want %q", s, got, want)
		}
	})
}

func TestMask(t *testing.T) {
	const token = "hunter2"
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"no such account: hunter2!", "no such account: [masked]!"},
		{`a "token\ is not "a \"token\\"`, `a [masked] is not "a [masked]"`},
		{"token=sk-ant-cc-x", "[masked]"},
		{"got eyJhbGciOiJFUzI1NiJ9.e30.x, and more", "got [masked], and more"},
		{`{"access_token":"x8Fh2kQp0ZtR5vWn"}`, `{"access_token":"[masked]"}`},
		{"Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Bearer [masked]"},
		{"aW5ncmVzc2F1dGhpbmdyZXNz/aGF1dGg+x/zz", "[masked]"},
		{"0123456789abcdef0123456789abcdef", "[masked]"},
		{"cannot open /etc/helper/Configuration.toml", "cannot open /etc/helper/Configuration.toml"},
		{"CONNECTION_REFUSED_BY_PEER", "CONNECTION_REFUSED_BY_PEER"},
		{"Authentication.server-unreachable", "Authentication.server-unreachable"},
		{"IdentityProviderException", "[masked]"},
		{"line 12 of 3000: https://issuer.example:8443/token", "line 12 of 3000: https://issuer.example:8443/token"},
	} {
		if got := tokentext.Mask(tt.in, token, `"token\`, ""); got != tt.want {
			t.Errorf("%q is shown as %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestShown(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"/a/path", "/a/path"},
		{"", `""`},
		{"/a/päth", "/a/päth"},
		{"/a\x1b[31m", `"/a\x1b[31m"`},
		{"a\nb", `"a\nb"`},
		{"a\"b", `"a\"b"`},
		{"/x/sk-ant-sid01-x", tokentext.Hidden},
		{"sk-ant-cc-e30.e30.x", tokentext.Hidden},
		{"e30.e30.x", tokentext.Hidden},
	} {
		if got := tokentext.Shown(tt.in); got != tt.want {
			t.Errorf("Shown(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
}
