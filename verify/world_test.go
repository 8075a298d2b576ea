package verify_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the time of the tests' clock.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const (
	environment = "ccpool_01test"
	prefix      = "sk-ant-cc-"
	issuer      = "https://issuer.example"
	audience    = "service"
)

// Names for what the tests are full of.
type (
	claims = verifytest.Claims
	signer = verifytest.Signer
)

var (
	b64  = base64.RawURLEncoding.EncodeToString
	jwks = verifytest.JWKS
)

// signers has a key of each algorithm, with that as its id.
var signers = sync.OnceValue(func() map[verify.Algorithm]*signer {
	m := make(map[verify.Algorithm]*signer)
	for _, a := range []verify.Algorithm{verify.ES256, verify.EdDSA, verify.RS256} {
		m[a] = verifytest.NewSigner(a, string(a))
	}
	return m
})

// keySet returns the key set of all signers and these.
func keySet(t testing.TB, more ...*signer) verify.KeySet {
	t.Helper()
	var keys []claims
	for _, s := range slices.Concat(slices.Collect(maps.Values(signers())), more) {
		keys = append(keys, s.JWK())
	}
	set, err := verify.NewKeySet(jwks(keys...), quiet)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

var quiet = slog.New(slog.DiscardHandler)

// plain are the claims of a token that the verifier of newVerifier accepts.
func plain() claims {
	return claims{"iss": issuer, "aud": audience, "sub": "someone", "jti": "1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

// session are the claims of a self-hosted session's token.
func session() claims { return verifytest.Session(environment, now) }

func config(i ...verify.Issuer) verify.Config {
	return verify.Config{Issuers: i, Now: func() time.Time { return now }}
}

func plainIssuer(t testing.TB) verify.Issuer {
	return verify.Issuer{Issuer: issuer, Audiences: []string{audience}, Keys: keySet(t)}
}

func sessionIssuer(t testing.TB) verify.Issuer {
	t.Helper()
	i, err := verify.ClaudeCode(environment)
	if err != nil {
		t.Fatal(err)
	}
	i.Keys = keySet(t)
	return i
}

func newVerifier(t testing.TB, c verify.Config) *verify.Verifier {
	t.Helper()
	v, err := verify.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantRefused checks that a token is refused for this reason, and that the error shows
// nothing of it. "" means that it is accepted.
func wantRefused(t testing.TB, v *verify.Verifier, token string, want verify.Reason) *verify.Refusal {
	t.Helper()
	p, err := v.Verify(context.Background(), token)
	return checkRefusal(t, p, err, token, want)
}

func checkRefusal(t testing.TB, p *verify.Principal, err error, credential string, want verify.Reason) *verify.Refusal {
	t.Helper()
	if want == "" {
		if err != nil || p == nil {
			t.Errorf("refused: %v", err)
		}
		return nil
	}
	var refusal *verify.Refusal
	if !errors.As(err, &refusal) || p != nil {
		t.Errorf("%+v, %v; want it refused: %s", p, err, want)
		return &verify.Refusal{}
	}
	if refusal.Reason != want {
		t.Errorf("%v; want: %s", err, want)
	}
	for part := range strings.FieldsFuncSeq(credential, func(r rune) bool { return r == '.' || r == ' ' }) {
		if len(part) > 8 && (strings.Contains(err.Error(), part) || strings.Contains(fmt.Sprintf("%+v %#v", *refusal, *refusal), part)) {
			t.Errorf("the error shows %q", part)
		}
	}
	return refusal
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// take returns the lines since the last time.
func (l *logBuffer) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := strings.TrimSpace(l.b.String())
	l.b.Reset()
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// wantLines checks that these texts are in lines, one in each.
func wantLines(t testing.TB, lines []string, want ...string) {
	t.Helper()
	if len(lines) != len(want) {
		t.Errorf("logged %d lines, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
		return
	}
	for i, w := range want {
		if !strings.Contains(strings.ReplaceAll(lines[i], `\"`, `"`), w) {
			t.Errorf("line %d lacks %q: %s", i, w, lines[i])
		}
	}
}
