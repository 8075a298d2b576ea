package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
	"github.com/rogpeppe/go-internal/testscript"
)

// mint makes tokens for scripts, and serves the keys to verify them with.
type mint struct {
	jwks       []byte
	tokens     map[string]string // by variable
	plain, tls *httptest.Server
	// vendor serves the keys as the vendor does, to whoever comes by way of proxy.
	vendor, proxy *httptest.Server
}

const testEnvironment = "ccpool_01test"

func newMint(t *testing.T) *mint {
	s := verifytest.NewSigner(verify.ES256, "1")
	now := time.Now()
	session := verifytest.Session(testEnvironment, now)
	other := verifytest.Claims{"iss": "https://issuer.example", "aud": "service", "sub": "x", "exp": now.Add(time.Hour).Unix(),
		"role": "worker", "admin": true, "n": 7, "a.b": "dotted", "odd": "a\u009b\u202e\nb", "empty": "", "none": nil,
		`x=y\z`: "1=2", "html": verifytest.Claims{"a": "<&>\u202e"},
		"list": []any{"x", map[string]any{"y": 1.5}}}
	m := &mint{
		jwks: verifytest.JWKS(s.JWK()),
		tokens: map[string]string{
			"SESSION": "sk-ant-cc-" + s.Token(session),
			"AGENT":   "sk-ant-cc-" + s.Token(session.With("act", verifytest.Claims{"sub": "agent:bot"})),
			"RUNNER":  "sk-ant-cc-" + s.Token(session.With("ccr:role", "runner")),
			"EXPIRED": "sk-ant-cc-" + s.Token(session.With("iat", now.Add(-9*time.Hour).Unix()).With("exp", now.Add(-5*time.Hour).Unix())),
			"FORGED":  "sk-ant-cc-" + verifytest.NewSigner(verify.ES256, "1").Token(session),
			"OTHER":   s.Token(other),
			"DEEP":    s.Sign(s.Header(), `{"x":`+strings.Repeat("[", 101)+strings.Repeat("]", 101)+"}"),
			"BIG":     s.Sign(s.Header(), `{"`+strings.Repeat("x", 2000)+`":[`+strings.Repeat("1,", 1500)+"1]}"),
			"ODD":     s.Sign(s.Header(), `{"exp":1.5e9,"iat":-1,"nbf":1000000000.9,"x":{"exp":1000000000},"far":"\ud83d\ude00"}`),
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
	m.vendor, m.proxy = newVendor(t, m.jwks)
	t.Cleanup(m.plain.Close)
	t.Cleanup(m.tls.Close)
	return m
}

// setup gives a script the tokens in variables, the keys in jwks.json, at $KEYS and
// $TLSKEYS, and by way of $PROXY where the vendor has them; and certificates to know the
// last two by in $CERTIFICATE and $VENDORCERTIFICATE.
func (m *mint) setup(env *testscript.Env) error {
	for name, token := range m.tokens {
		env.Setenv(name, token)
	}
	env.Setenv("ENVIRONMENT", testEnvironment)
	env.Setenv("KEYS", m.plain.URL)
	env.Setenv("TLSKEYS", m.tls.URL)
	env.Setenv("TLSLOCALHOST", strings.Replace(m.tls.URL, "127.0.0.1", "localhost", 1)) // which its certificate lacks
	env.Setenv("PROXY", m.proxy.URL)
	for name, server := range map[string]*httptest.Server{"CERTIFICATE": m.tls, "VENDORCERTIFICATE": m.vendor} {
		path := filepath.Join(env.WorkDir, name+".pem")
		env.Setenv(name, path)
		block := &pem.Block{Type: "CERTIFICATE", Bytes: server.TLS.Certificates[0].Certificate[0]}
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(env.WorkDir, "jwks.json"), m.jwks, 0o600)
}

// newVendor returns a server with a certificate for the host of the vendor's keys, and a
// proxy that leads there, and nowhere else.
func newVendor(t *testing.T, jwks []byte) (vendor, proxy *httptest.Server) {
	where, err := url.Parse(verify.ClaudeCodeKeysURL)
	if err != nil {
		t.Fatal(err)
	}
	vendor = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != where.Host || r.URL.Path != where.Path {
			http.NotFound(w, r)
			return
		}
		w.Write(jwks)
	}))
	key := verifytest.NewSigner(verify.ES256, "").Key
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{where.Host}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	vendor.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
	vendor.StartTLS()
	t.Cleanup(vendor.Close)

	proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != where.Host+":443" {
			http.Error(w, "not here", http.StatusForbidden)
			return
		}
		there, err := net.Dial("tcp", vendor.Listener.Addr().String())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // it is HTTP/1.1
		}
		defer here.Close()
		io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(there, here)
		io.Copy(here, there)
	}))
	t.Cleanup(proxy.Close)
	return vendor, proxy
}
