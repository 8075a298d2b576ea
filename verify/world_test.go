package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/verify"
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

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// signer is a private key, made for this run.
type signer struct {
	kid string
	alg verify.Algorithm
	key crypto.Signer
}

func newSigner(t testing.TB, alg verify.Algorithm, kid string) *signer {
	t.Helper()
	s := &signer{kid: kid, alg: alg}
	var err error
	switch alg {
	case verify.ES256:
		s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case verify.EdDSA:
		_, s.key, err = ed25519.GenerateKey(rand.Reader)
	case verify.RS256:
		s.key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signers has one of each algorithm, called as that.
var signers = sync.OnceValue(func() map[verify.Algorithm]*signer {
	m := make(map[verify.Algorithm]*signer)
	for _, alg := range []verify.Algorithm{verify.ES256, verify.EdDSA, verify.RS256} {
		m[alg] = newSigner(new(testing.B), alg, string(alg))
	}
	return m
})

// signature returns the signature of a JWS over signed.
func (s *signer) signature(signed string) []byte {
	digest := sha256.Sum256([]byte(signed))
	input, opts := digest[:], crypto.SignerOpts(crypto.SHA256)
	if s.alg == verify.EdDSA {
		input, opts = []byte(signed), crypto.Hash(0)
	}
	sig, err := s.key.Sign(rand.Reader, input, opts)
	if err != nil {
		panic(err) // the key is sound
	}
	if s.alg == verify.ES256 {
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(sig, &rs); err != nil {
			panic(err)
		}
		sig = append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)
	}
	return sig
}

// sign returns a JWS of these texts, whatever they are.
func (s *signer) sign(header, payload string) string {
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	return signed + "." + b64(s.signature(signed))
}

func (s *signer) header() string {
	return fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":%q}`, s.alg, s.kid)
}

// token returns a JWT of these claims.
func (s *signer) token(c claims) string { return s.sign(s.header(), c.json()) }

// jwk returns the public key, with these members beside or in place of its own; nil
// takes one away.
func (s *signer) jwk(changes ...claims) map[string]any {
	k := map[string]any{"kid": s.kid, "use": "sig", "alg": string(s.alg)}
	switch pub := s.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			panic(err)
		}
		k["kty"], k["crv"], k["x"], k["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", b64(pub)
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", b64(pub.N.Bytes()), b64(big.NewInt(int64(pub.E)).Bytes())
	}
	for _, c := range changes {
		maps.Copy(k, c)
	}
	maps.DeleteFunc(k, func(_ string, v any) bool { return v == nil })
	return k
}

// jwks returns a key set of these keys.
func jwks(keys ...map[string]any) []byte {
	if keys == nil {
		keys = []map[string]any{}
	}
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return b
}

// keySet returns the key set of all signers and these.
func keySet(t testing.TB, more ...*signer) verify.KeySet {
	t.Helper()
	var keys []map[string]any
	for _, s := range slices.Concat(slices.Collect(maps.Values(signers())), more) {
		keys = append(keys, s.jwk())
	}
	set, err := verify.NewKeySet(jwks(keys...), quiet)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

var quiet = slog.New(slog.DiscardHandler)

// claims are a JWT's. with returns them changed; nil takes one away.
type claims map[string]any

func (c claims) with(name string, value any) claims {
	c = maps.Clone(c)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func (c claims) json() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// plain are the claims of a token that the verifier of newVerifier accepts.
func plain() claims {
	return claims{"iss": issuer, "aud": audience, "sub": "someone", "jti": "1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
}

// session are the claims of a self-hosted session's token.
func session() claims {
	return claims{
		"iss": "ccr", "aud": []string{environment, "anthropic-api"}, "sub": "ccr:session:session_1",
		"iat": now.Unix(), "exp": now.Add(4 * time.Hour).Unix(), "jti": "token-1",
		"ccr:role": "session_worker", "ccr:session_id": "session_1", "ccr:pool_id": environment,
		"ccr:org_id": "org-1", "ccr:account_id": "account-1",
		"act": claims{"sub": "user:user_1", "email": "someone@example.com",
			"act": claims{"sub": "ccr:runner:runner_1", "act": claims{"sub": "ccr:pool:" + environment}}},
	}
}

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

// need skips a test that cannot have what it needs here. In CI it fails it.
func need(t testing.TB, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI has no %s", what)
	}
	t.Skipf("needs %s", what)
}
