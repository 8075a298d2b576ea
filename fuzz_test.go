package ingressauth

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// FuzzOrigin holds origins to what makes them safe, and to what they are origins of.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{
		"https://service.example", "https://Service.Example:8443/", "http://localhost", "http://127.0.0.1:80", "http://[::1]",
		"http://LOCALHOST", "unix://daemon", "https://user@host", "https://[fe80::1%25lo]", "https://host:", "http://127.0.0.1.example",
	} {
		f.Add(s, s+"/path")
	}
	f.Fuzz(func(t *testing.T, name, target string) {
		o, err := parseOrigin(name)
		if err != nil {
			return
		}
		if o.scheme == "http" && !o.unix && o.host != "localhost" && !net.ParseIP(o.host).IsLoopback() {
			t.Errorf("%q is plain HTTP to %q", name, o.host)
		}
		n := namedOrigins{origins: []namedOrigin{o}}
		u, err := url.Parse(target)
		if err != nil || n.of(u) == nil {
			return
		}
		port := u.Port()
		if port == "" {
			port = defaultPorts[u.Scheme]
		}
		if u.Scheme != o.scheme || strings.ToLower(u.Hostname()) != o.host || port != o.port || strings.HasPrefix(u.Opaque, "//") {
			t.Errorf("%q is taken for %q", target, name)
		}
	})
}

// FuzzChallenges reads what servers send, which may be anything. A challenge of our
// own scheme beside it is seen.
func FuzzChallenges(f *testing.F) {
	for _, s := range []string{"", "Bearer", `Basic realm="a, \"b", charset=UTF-8, Bearer`, "Negotiate YWJj==", `"`, `\`, ",,", "= =", "Basic realm = x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		n := 0
		for scheme := range challenges(value) {
			if n++; scheme != "" && strings.ContainsAny(scheme, " \t=") {
				t.Errorf("%q has the scheme %q", value, scheme)
			}
		}
		if n > len(value) {
			t.Errorf("%q has %d challenges", value, n)
		}
		if !asksFor(http.Header{"Www-Authenticate": {value, "bearer"}}, SchemeBearer) {
			t.Errorf("a challenge after %q is not seen", value)
		}
		if asksFor(http.Header{"Www-Authenticate": {value, "Basic"}}, SchemeSessionKey) {
			t.Errorf("%q and a challenge ask for a session key", value)
		}
	})
}

var number = regexp.MustCompile(`^[+-]?[0-9]+`)

func FuzzParseDescriptor(f *testing.F) {
	for _, s := range []string{"3abc", " +3", "03", "3.7", "0x3", "-1", "", "+-3", "\u00853", "99999999999999999999", "-99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := tokentext.ParseDescriptor(s)
		match := number.FindString(strings.TrimLeftFunc(s, tokentext.IsSpace))
		if ok != (match != "") {
			t.Fatalf("tokentext.ParseDescriptor(%q) = %d, %v", s, got, ok)
		}
		if !ok {
			return
		}
		want, _ := new(big.Int).SetString(match, 10)
		switch {
		case want.IsInt64() && want.Int64() != math.MinInt64:
			if int64(got) != want.Int64() {
				t.Errorf("tokentext.ParseDescriptor(%q) = %d, want %v", s, got, want)
			}
		case got != want.Sign()*math.MaxInt:
			t.Errorf("tokentext.ParseDescriptor(%q) = %d, and it is %v", s, got, want)
		}
	})
}

func FuzzSetHeader(f *testing.F) {
	f.Add("tok", "org", "a=1; sessionKey=old; b=2", "Cookie")
	f.Add("sk-ant-sid01-x", "org", "sessionKey", "cookie")
	f.Add("sk-ant-sid01-x; a=b", "or\ng", ";;=;sessionKey = x", "AUTHORIZATION")
	f.Add("a\r\nb", "", "sessionKey=1,sessionKey=2", "x-Organization-Uuid")
	f.Fuzz(func(t *testing.T, text, organization, value, name string) {
		token, err := NewToken(text, organization)
		if err != nil {
			if text != "" && strings.Contains(err.Error(), text) && len(text) > 8 {
				t.Errorf("the error shows the text: %v", err)
			}
			return
		}
		h := http.Header{name: {value, "sessionKey=other"}, "Cookie": {value}, "Authorization": {"old"}, "Accept": {"x"}}
		before := otherCookiesOf(h)
		token.SetHeader(h)
		if after := otherCookiesOf(h); name != "Cookie" && strings.EqualFold(name, "Cookie") {
			// Which of the two fields comes first is not said.
		} else if !slices.Equal(before, after) {
			t.Errorf("the other cookies were %q, and are %q", before, after)
		}
		if h.Get("Accept") != "x" && name != "Accept" {
			t.Error("another field was touched")
		}
		// What a server makes of it, which must be this token and no other.
		r := &http.Request{Header: h}
		var keys []string
		for _, c := range r.CookiesNamed(cookieName) {
			keys = append(keys, c.Value)
		}
		switch token.Scheme() {
		case SchemeBearer:
			if got := h[fieldAuthorization]; len(got) != 1 || got[0] != "Bearer "+text || len(keys) != 0 || h[fieldOrganization] != nil {
				t.Errorf("%q", h)
			}
		case SchemeSessionKey:
			if len(keys) != 1 || keys[0] != text || h[fieldAuthorization] != nil || len(h[fieldCookie]) != 1 || h.Get(fieldOrganization) != organization {
				t.Errorf("%q", h)
			}
		}
		for field := range h {
			if c := http.CanonicalHeaderKey(field); c != field && (c == fieldCookie || c == fieldAuthorization || c == fieldOrganization) {
				t.Errorf("%q has %q, too", h, field)
			}
		}
	})
}

// otherCookiesOf are the cookies that a server finds, but for the session key.
func otherCookiesOf(h http.Header) []string {
	var others []string
	for _, c := range (&http.Request{Header: h}).Cookies() {
		if c.Name != cookieName {
			others = append(others, c.Name+"="+c.Value)
		}
	}
	return others
}

// TestAgreesWithECMAScript asks Node what it trims and what it parses.
func TestAgreesWithECMAScript(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI has no node")
		}
		t.Skip("needs node")
	}
	numbers := []string{"3abc", " +3", "03", "3.7", "0x3", "-1", "", "abc", "+", "- 3", "+-3", "\uFEFF3", "\u00853", "\u200b3", "1e3", "٣", "-0", "2147483648"}
	input, err := json.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	const script = `
		let trimmed = [];
		for (let i = 0; i <= 0x10FFFF; i++)
			if ((i < 0xD800 || i > 0xDFFF) && String.fromCodePoint(i).trim() === "") trimmed.push(i);
		const numbers = JSON.parse(process.argv[1]).map(s => parseInt(s, 10)).map(n => Number.isNaN(n) ? null : n);
		console.log(JSON.stringify({trimmed, numbers}));`
	out, err := exec.Command(node, "-e", script, string(input)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Trimmed []rune
		Numbers []*int
	}
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	var trimmed []rune
	for r := range utf8.MaxRune + 1 {
		if utf8.ValidRune(r) && tokentext.TrimSpace(string(r)) == "" {
			trimmed = append(trimmed, r)
		}
	}
	if fmt.Sprint(trimmed) != fmt.Sprint(want.Trimmed) {
		t.Errorf("we trim %U, Node %U", trimmed, want.Trimmed)
	}
	for i, s := range numbers {
		got, ok := tokentext.ParseDescriptor(s)
		if ok != (want.Numbers[i] != nil) || ok && got != *want.Numbers[i] {
			t.Errorf("tokentext.ParseDescriptor(%q) = %d, %v, and not what Node says", s, got, ok)
		}
	}
}
