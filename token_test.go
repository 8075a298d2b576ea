package ingressauth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
)

// secret is in every token of these tests, and must be in no output.
const secret = "s3cr3t-t0k3n-t3xt"

func newToken(t testing.TB, text, organization string) ingressauth.Token {
	t.Helper()
	token, err := ingressauth.NewToken(text, organization)
	if err != nil {
		t.Fatalf("NewToken: %v", err)
	}
	return token
}

// jwt returns an unsigned JWT with this payload.
func jwt(payload string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part([]byte(payload)) + "." + part([]byte("signature"))
}

func TestTokenIsNeverShown(t *testing.T) {
	type holder struct {
		token ingressauth.Token
		Token ingressauth.Token
	}
	for _, text := range []string{secret, "sk-ant-sid01-" + secret} {
		token := newToken(t, text, "")
		h := holder{token, token}
		values := map[string]any{
			"value": token, "pointer": &token, "struct": h, "pointer to struct": &h,
			"nested": struct{ h *holder }{&h}, "slice": []ingressauth.Token{token},
			"unexported slice": struct{ s []ingressauth.Token }{[]ingressauth.Token{token}},
			"array":            [1]ingressauth.Token{token},
			"map key":          map[ingressauth.Token]int{token: 1},
			"map value":        map[string]holder{"k": h},
			"unexported map":   struct{ m map[string]ingressauth.Token }{map[string]ingressauth.Token{"k": token}},
			"interface":        struct{ v any }{token},
			"source":           ingressauth.Static(token),
			"sources":          ingressauth.First(ingressauth.Static(token)),
			"error":            fmt.Errorf("with %v and %+v", token, h),
			"nil pointer":      (*ingressauth.Token)(nil),
		}
		for name, v := range values {
			var out bytes.Buffer
			for verb := rune('A'); verb <= 'z'; verb++ {
				for _, flags := range []string{"", "+", "#", "-40", "40", "040", " ", ".3", "# "} {
					fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
				}
			}
			fmt.Fprintln(&out, v)
			if j, err := json.Marshal(v); err == nil {
				out.Write(j)
			}
			if x, err := xml.Marshal(v); err == nil {
				out.Write(x)
			}
			options := &slog.HandlerOptions{AddSource: true}
			for _, handler := range []slog.Handler{slog.NewTextHandler(&out, options), slog.NewJSONHandler(&out, options)} {
				slog.New(handler).Info("message", "value", v, slog.Group("g", "value", v))
			}
			// %x of the text, and of its base64, would do as well for a thief.
			for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret),
				base64.StdEncoding.EncodeToString([]byte(text)), fmt.Sprint([]byte(secret))} {
				if strings.Contains(out.String(), strings.Trim(form, "[]")) {
					t.Errorf("%s shows the text of the token, as %q", name, form)
				}
			}
		}
	}
}

func TestTokenShowsSchemeAndFingerprint(t *testing.T) {
	bearer := newToken(t, "abc", "")
	for _, tt := range []struct {
		name string
		got  any
		want string
	}{
		{"String", bearer.String(), "bearer:ba7816bf"},
		{"%v", fmt.Sprintf("%v", bearer), "bearer:ba7816bf"},
		{"%#v", fmt.Sprintf("%#v", bearer), "ingressauth.Token(bearer:ba7816bf)"},
		{"%18s", fmt.Sprintf("%18s|", bearer), "   bearer:ba7816bf|"},
		{"%-18s", fmt.Sprintf("%-18s|", bearer), "bearer:ba7816bf   |"},
		{"session key", newToken(t, "sk-ant-sid01-x", "org").String(), "session-key:f38bca7b"},
		{"zero", ingressauth.Token{}.String(), "none"},
		{"zero fingerprint", ingressauth.Token{}.Fingerprint(), ""},
		{"zero scheme", string(ingressauth.Token{}.Scheme()), ""},
		{"zero text", ingressauth.Token{}.Reveal(), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	j, err := json.Marshal(struct {
		A ingressauth.Token
		B ingressauth.Token `json:",omitzero"`
	}{A: bearer})
	if want := `{"A":"bearer:ba7816bf"}`; err != nil || string(j) != want {
		t.Errorf("JSON: %s, %v; want %s", j, err, want)
	}
	if text, err := bearer.MarshalText(); err != nil || string(text) != "bearer:ba7816bf" {
		t.Errorf("MarshalText: %s, %v", text, err)
	}
	var back ingressauth.Token
	//lint:ignore SA9005 that it cannot be is what is tested
	if err := json.Unmarshal([]byte(`"bearer:ba7816bf"`), &back); err == nil {
		t.Error("a Token can be read from JSON; what is shown is no token")
	}
}

func TestTokensCompare(t *testing.T) {
	a := newToken(t, "sk-ant-sid01-x", "org-a")
	if a != newToken(t, strings.Clone("sk-ant-sid01-x"), strings.Clone("org-a")) {
		t.Error("tokens of one text and organisation differ")
	}
	if a == newToken(t, "sk-ant-sid01-x", "org-b") {
		t.Error("tokens of two organisations are equal")
	}
	if newToken(t, "x", "org-a") != newToken(t, "x", "org-b") {
		t.Error("a bearer token keeps an organisation that it is not sent with")
	}
	if got := a.Organization(); got != "org-a" {
		t.Errorf("Organization: %q", got)
	}
}

func TestNewTokenRefusesWhatNoHeaderCarries(t *testing.T) {
	const key = "sk-ant-sid01-"
	for _, tt := range []struct {
		name, text, organization string
		ok                       bool
	}{
		{"bearer", "abc.def-_~+/=", "", true},
		{"bearer with a space inside", "a b", "", true},
		{"bearer with spaces around", " a ", "", true},
		{"bearer with TAB", "a\tb", "", true},
		{"bearer with obs-text", "a\xffb", "", true},
		{"bearer with quotes", `a"b;c,d\`, "", true},
		{"bearer with LF", "a\nb", "", false},
		{"bearer with CR at its end", "a\r", "", false},
		{"bearer with NUL", "a\x00", "", false},
		{"bearer with DEL", "a\x7f", "", false},
		{"session key", key + "x=%!", "org", true},
		{"session key with a space", key + " x", "", false},
		{"session key with another cookie", key + "x; a=b", "", false},
		{"session key with a comma", key + "x,y", "", false},
		{"session key with a quote", key + `x"`, "", false},
		{"session key with a backslash", key + `x\`, "", false},
		{"session key with TAB", key + "x\t", "", false},
		{"session key with non-ASCII", key + "é", "", false},
		{"organisation with LF", key + "x", "a\nb", false},
		{"organisation of a bearer token is dropped", "x", "a\nb", true},
	} {
		token, err := ingressauth.NewToken(tt.text, tt.organization)
		if ok := err == nil; ok != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err != nil && (strings.Contains(err.Error(), tt.text) || token != ingressauth.Token{}) {
			t.Errorf("%s: the error shows the text, or there is a token: %v, %v", tt.name, err, token)
		}
		if err == nil && token.Reveal() != tt.text {
			t.Errorf("%s: Reveal returns another text", tt.name)
		}
	}
	if _, err := ingressauth.NewToken("", ""); !errors.Is(err, ingressauth.ErrNoToken) {
		t.Errorf("empty text: %v, want ErrNoToken", err)
	}
}

func TestExpiry(t *testing.T) {
	at := func(seconds int64, nanoseconds int64) time.Time { return time.Unix(seconds, nanoseconds).UTC() }
	for _, tt := range []struct {
		name, text string
		want       time.Time // zero: none
	}{
		{"JWT", jwt(`{"exp":1700000000}`), at(1700000000, 0)},
		{"behind a prefix", "sk-ant-cc-" + jwt(`{"exp":1700000000}`), at(1700000000, 0)},
		{"behind another prefix", "sk-ant-si-" + jwt(`{"exp":1700000000}`), at(1700000000, 0)},
		{"with a fraction", jwt(`{"exp":1700000000.5}`), at(1700000000, 500000000)},
		{"with an exponent", jwt(`{"exp":17e8}`), at(1700000000, 0)},
		{"in the past", jwt(`{"exp":-1}`), at(-1, 0)},
		{"the epoch", jwt(`{"exp":0}`), at(0, 0)},
		{"last of two", jwt(`{"exp":1,"exp":2}`), at(2, 0)},
		{"missing", jwt(`{"sub":"x"}`), time.Time{}},
		{"in another case", jwt(`{"EXP":1700000000}`), time.Time{}},
		{"string", jwt(`{"exp":"1700000000"}`), time.Time{}},
		{"null", jwt(`{"exp":null}`), time.Time{}},
		{"too large", jwt(`{"exp":253402300800}`), time.Time{}},
		{"far too large", jwt(`{"exp":1e999}`), time.Time{}},
		{"far too small", jwt(`{"exp":-1e99}`), time.Time{}},
		{"payload no object", jwt(`[1700000000]`), time.Time{}},
		{"payload null", jwt(`null`), time.Time{}},
		{"payload not UTF-8", jwt("{\"exp\":1700000000,\"sub\":\"\xff\"}"), time.Time{}},
		{"payload with more behind it", jwt(`{"exp":1700000000} x`), time.Time{}},
		{"two parts", "a.eyJleHAiOjE3MDAwMDAwMDB9", time.Time{}},
		{"four parts", jwt(`{"exp":1700000000}`) + ".x", time.Time{}},
		{"padded", "a.eyJleHAiOjE3MDAwMDAwMDB9Cg==.b", time.Time{}},
		{"opaque", "opaque", time.Time{}},
		{"session key", "sk-ant-sid01-opaque", time.Time{}},
	} {
		got, ok := newToken(t, tt.text, "").Expiry()
		if ok == tt.want.IsZero() || !got.Equal(tt.want) {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, ok, tt.want)
		}
	}
}

func TestSetHeader(t *testing.T) {
	bearer := newToken(t, "tok", "")
	key := newToken(t, "sk-ant-sid01-k", "")
	keyWithOrg := newToken(t, "sk-ant-sid01-k", "org")
	for _, tt := range []struct {
		name  string
		token ingressauth.Token
		in    http.Header
		want  http.Header
	}{
		{"bearer", bearer, http.Header{}, http.Header{"Authorization": {"Bearer tok"}}},
		{"session key", key, http.Header{}, http.Header{"Cookie": {"sessionKey=sk-ant-sid01-k"}}},
		{"session key of an organisation", keyWithOrg, http.Header{},
			http.Header{"Cookie": {"sessionKey=sk-ant-sid01-k"}, "X-Organization-Uuid": {"org"}}},
		{"bearer after session key", bearer,
			http.Header{"Cookie": {"sessionKey=old"}, "X-Organization-Uuid": {"org"}, "Accept": {"x"}},
			http.Header{"Authorization": {"Bearer tok"}, "Accept": {"x"}}},
		{"session key after bearer", key,
			http.Header{"Authorization": {"Bearer old", "Basic older"}, "X-Organization-Uuid": {"old"}},
			http.Header{"Cookie": {"sessionKey=sk-ant-sid01-k"}}},
		{"other cookies stay", key, http.Header{"Cookie": {"a=1; sessionKey=old; b=\"2\"", "c=3"}},
			http.Header{"Cookie": {`a=1; b="2"; c=3; sessionKey=sk-ant-sid01-k`}}},
		{"other cookies stay without ours", bearer, http.Header{"Cookie": {"a=1;sessionKey=old ;b=2"}},
			http.Header{"Authorization": {"Bearer tok"}, "Cookie": {"a=1; b=2"}}},
		{"one field stays one, and two stay two", bearer, http.Header{"Cookie": {"a=1; sessionKey=old; b=2", "sessionKey=old", "c=3"}},
			http.Header{"Authorization": {"Bearer tok"}, "Cookie": {"a=1; b=2", "c=3"}}},
		{"cookies are left alone", bearer, http.Header{"Cookie": {"a=1;b=2 ", "c=3"}},
			http.Header{"Authorization": {"Bearer tok"}, "Cookie": {"a=1;b=2 ", "c=3"}}},
		{"every cookie of our name goes", bearer, http.Header{"Cookie": {"sessionKey=a; sessionKey =b;\tsessionKey=c;sessionKey"}},
			http.Header{"Authorization": {"Bearer tok"}}},
		{"names like ours stay", key, http.Header{"Cookie": {"xsessionKey=1; sessionkey=2; a=sessionKey"}},
			http.Header{"Cookie": {"xsessionKey=1; sessionkey=2; a=sessionKey; sessionKey=sk-ant-sid01-k"}}},
		{"names in another case", bearer,
			http.Header{"cookie": {"sessionKey=old; a=1"}, "AUTHORIZATION": {"x"}, "x-organization-uuid": {"y"}, "accept": {"z"}},
			http.Header{"Authorization": {"Bearer tok"}, "Cookie": {"a=1"}, "accept": {"z"}}},
		{"empty cookies", key, http.Header{"Cookie": {"", "a=b;", " ; "}},
			http.Header{"Cookie": {"a=b; sessionKey=sk-ant-sid01-k"}}},
		{"cookies under two names", key, http.Header{"cookie": {"a=1"}, "Cookie": {"b=2"}},
			http.Header{"Cookie": {"b=2; a=1; sessionKey=sk-ant-sid01-k"}}},
		{"no token only removes", ingressauth.Token{},
			http.Header{"Authorization": {"x"}, "Cookie": {"sessionKey=old; a=1"}, "X-Organization-Uuid": {"y"}, "Accept": {"z"}},
			http.Header{"Cookie": {"a=1"}, "Accept": {"z"}}},
	} {
		before := tt.in.Clone()
		values := tt.in["Cookie"]
		tt.token.SetHeader(tt.in)
		if diff := cmp.Diff(tt.want, tt.in); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if len(values) > 0 && before.Get("Cookie") != values[0] {
			t.Errorf("%s: wrote into a slice that belongs to the caller", tt.name)
		}
		tt.token.SetHeader(tt.in)
		if diff := cmp.Diff(tt.want, tt.in); diff != "" && tt.token.Scheme() != "" {
			t.Errorf("%s, set twice (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestHeadersDoNotShareMemory(t *testing.T) {
	token := newToken(t, "tok", "")
	a, b := http.Header{}, http.Header{}
	token.SetHeader(a)
	a["Authorization"][0] = "changed"
	token.SetHeader(b)
	if got := b.Get("Authorization"); got != "Bearer tok" {
		t.Errorf("a header that was changed changed another: %q", got)
	}
}

// sourceFunc is a source made of a function.
type sourceFunc func() (ingressauth.Token, error)

func (f sourceFunc) Token(context.Context) (ingressauth.Token, error) { return f() }

// renewing is a renewer whose Renew gives next.
type renewing struct {
	sourceFunc
	next ingressauth.Token
}

func (r renewing) Renew(context.Context, ingressauth.Token) (ingressauth.Token, error) {
	return r.next, nil
}

func TestSources(t *testing.T) {
	ctx := t.Context()
	a, b, c := newToken(t, "a", ""), newToken(t, "b", ""), newToken(t, "c", "")
	none := ingressauth.Static(ingressauth.Token{})
	broken := sourceFunc(func() (ingressauth.Token, error) { return ingressauth.Token{}, errors.New("broken") })
	for _, tt := range []struct {
		name string
		s    ingressauth.Source
		want ingressauth.Token
		err  string
	}{
		{"static", ingressauth.Static(a), a, ""},
		{"static without a token", none, ingressauth.Token{}, "no session token"},
		{"first", ingressauth.First(ingressauth.Static(a), ingressauth.Static(b)), a, ""},
		{"first that has one", ingressauth.First(none, ingressauth.Static(b), broken), b, ""},
		{"a failure ends the search", ingressauth.First(none, broken, ingressauth.Static(b)), ingressauth.Token{}, "broken"},
		{"none", ingressauth.First(none, none), ingressauth.Token{}, "no session token"},
		{"first of nothing", ingressauth.First(), ingressauth.Token{}, "no session token"},
	} {
		got, err := tt.s.Token(ctx)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, %v; want %v, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
	if _, err := ingressauth.First(none, none).Token(ctx); !errors.Is(err, ingressauth.ErrNoToken) {
		t.Errorf("none: %v, want ErrNoToken", err)
	}

	renewer := renewing{sourceFunc(func() (ingressauth.Token, error) { return a, nil }), b}
	for _, tt := range []struct {
		name    string
		s       ingressauth.Renewer
		refused ingressauth.Token
		want    ingressauth.Token
	}{
		{"the source that has it is asked", ingressauth.First(none, renewer, ingressauth.Static(c)), a, b},
		{"no other source is asked", ingressauth.First(ingressauth.Static(a), ingressauth.Static(c)), a, ingressauth.Token{}},
		{"it has another by now", ingressauth.First(ingressauth.Static(a)), c, a},
	} {
		got, err := tt.s.Renew(ctx, tt.refused)
		if got != tt.want || (err != nil) != got.IsZero() || err != nil && !errors.Is(err, ingressauth.ErrNoToken) {
			t.Errorf("Renew: %s: %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
}
