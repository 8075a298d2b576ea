package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/internal/jwttest"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/rogpeppe/go-internal/testscript"
)

// mint makes tokens for scripts, and serves the keys to verify them with.
type mint struct {
	jwks       []byte
	tokens     map[string]string // by variable
	plain, tls *httptest.Server
}

const testEnvironment = "ccpool_01test"

func newMint(t *testing.T) *mint {
	s := jwttest.NewSigner(verify.ES256, "1")
	now := time.Now()
	session := jwttest.Session(testEnvironment, now)
	other := jwttest.Claims{"iss": "https://issuer.example", "aud": "service", "sub": "x", "exp": now.Add(time.Hour).Unix(),
		"role": "worker", "admin": true, "n": 7, "a.b": "dotted", "odd": "a\u009b\u202e\nb", "empty": "", "none": nil,
		`x=y\z`: "1=2", "html": jwttest.Claims{"a": "<&>\u202e"},
		"list": []any{"x", map[string]any{"y": 1.5}}}
	m := &mint{
		jwks: jwttest.JWKS(s.JWK()),
		tokens: map[string]string{
			"SESSION": "sk-ant-cc-" + s.Token(session),
			"AGENT":   "sk-ant-cc-" + s.Token(session.With("act", jwttest.Claims{"sub": "agent:bot"})),
			"RUNNER":  "sk-ant-cc-" + s.Token(session.With("ccr:role", "runner")),
			"EXPIRED": "sk-ant-cc-" + s.Token(session.With("iat", now.Add(-9*time.Hour).Unix()).With("exp", now.Add(-5*time.Hour).Unix())),
			"FORGED":  "sk-ant-cc-" + jwttest.NewSigner(verify.ES256, "1").Token(session),
			"OTHER":   s.Token(other),
			"DEEP":    s.Sign(s.Header(), `{"x":`+strings.Repeat("[", 101)+strings.Repeat("]", 101)+"}"),
			"CRLF":    s.Sign(s.Header(), "{\"a\":1}\r\n"),
			"TWICE":   s.Sign(s.Header(), `{"exp":1,"exp":"`+"\u009b"+`","z":{"y":[]}}`),
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/jwks.json", func(w http.ResponseWriter, r *http.Request) { w.Write(m.jwks) })
	mux.HandleFunc("/empty.json", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"keys":[]}`)) })
	mux.HandleFunc("/html", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>SECRET</html>")) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		w.Write(append(m.jwks, strings.Repeat(" ", 2<<20)...))
	})
	mux.HandleFunc("/escape", func(w http.ResponseWriter, r *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // it is HTTP/1.1
		}
		defer connection.Close()
		io.WriteString(connection, "HTTP/1.1 500 \x1b[31mred\r\n\r\n")
	})
	for from, to := range map[string]string{"/redirect": "/jwks.json", "/loop": "/loop", "/away": "http://192.0.2.1/jwks.json", "/file": "file:///etc/passwd"} {
		mux.Handle(from, http.RedirectHandler(to, http.StatusFound))
	}
	m.plain, m.tls = httptest.NewServer(mux), httptest.NewUnstartedServer(mux)
	mux.Handle("/down", http.RedirectHandler(m.plain.URL+"/jwks.json", http.StatusFound))
	m.tls.Config.ErrorLog = log.New(io.Discard, "", 0) // of those who do not know its certificate
	m.tls.StartTLS()
	t.Cleanup(m.plain.Close)
	t.Cleanup(m.tls.Close)
	return m
}

// setup gives a script the tokens in variables, the keys in jwks.json and at $KEYS and
// $TLSKEYS, and the certificate of the latter in $CERTIFICATE.
func (m *mint) setup(env *testscript.Env) error {
	for name, token := range m.tokens {
		env.Setenv(name, token)
	}
	env.Setenv("ENVIRONMENT", testEnvironment)
	env.Setenv("KEYS", m.plain.URL)
	env.Setenv("TLSKEYS", m.tls.URL)
	certificate := filepath.Join(env.WorkDir, "certificate.pem")
	env.Setenv("CERTIFICATE", certificate)
	block := &pem.Block{Type: "CERTIFICATE", Bytes: m.tls.Certificate().Raw}
	if err := os.WriteFile(certificate, pem.EncodeToMemory(block), 0o600); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	return os.WriteFile(filepath.Join(env.WorkDir, "jwks.json"), m.jwks, 0o600)
}
