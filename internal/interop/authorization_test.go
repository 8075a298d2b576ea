package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

//go:embed testdata/authorization.js
var authorizationServer string

const clientSecret = "made-up-secret:%2B+&="

// authorization is a server by oidc-provider, which is installed by npm where NODE_PATH says.
type authorization struct {
	url    string
	client *http.Client // which trusts it, and presents the certificate of a client
}

func startAuthorization(t *testing.T, clients []verifytest.Claims) authorization {
	t.Helper()
	if out, err := exec.Command("node", "-e", `import(require.resolve("oidc-provider"))`).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI has no oidc-provider: %v: %s", err, out)
		}
		t.Skip("needs node, and oidc-provider, which npm installs")
	}
	own, pool := newCertificate(t, "server"), x509.NewCertPool()
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{
		"clients":     clients,
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})),
		"key":         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	})
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := exec.Command("node", "-e", authorizationServer)
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	in.Write(append(input, '\n'))
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		in.Close()
		cmd.Wait()
		t.Fatalf("%v: %s", err, errs.String())
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{newCertificate(t, "client-1")}}}
	t.Cleanup(transport.CloseIdleConnections)
	return authorization{strings.TrimSpace(line), &http.Client{Transport: transport}}
}

func newCertificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// active asks the server whether a token is good (RFC 7662).
func (a authorization) active(t *testing.T, token ingressauth.Token) bool {
	t.Helper()
	request, err := http.NewRequest("POST", a.url+"/token/introspection", strings.NewReader(url.Values{"token": {token.Reveal()}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("basic", url.QueryEscape(clientSecret))
	response, err := a.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Active bool }
	if err := json.Unmarshal(body, &answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v: %s", response.StatusCode, err, body)
	}
	return answer.Active
}

// TestAuthorizationServer has a server that others wrote issue tokens to every kind of client,
// exchange them, and revoke them.
func TestAuthorizationServer(t *testing.T) {
	const exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	grants := []string{"client_credentials", exchange}
	signers := newSigners()
	clients := []verifytest.Claims{
		{"client_id": "basic", "client_secret": clientSecret, "grant_types": grants, "token_endpoint_auth_method": "client_secret_basic", "scope": "sessions"},
		{"client_id": "tls", "grant_types": grants, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=client-1"},
		{"client_id": "public", "grant_types": []string{exchange}, "token_endpoint_auth_method": "none"},
	}
	for algorithm, s := range signers {
		clients = append(clients, verifytest.Claims{
			"client_id": string(algorithm), "grant_types": grants, "token_endpoint_auth_method": "private_key_jwt",
			"token_endpoint_auth_signing_alg": string(algorithm), "jwks": verifytest.Claims{"keys": []verifytest.Claims{s.JWK()}},
		})
	}
	server := startAuthorization(t, clients)
	endpoint := func(auth refresh.ClientAuth) *refresh.Endpoint {
		return &refresh.Endpoint{URL: server.url + "/token", RevocationURL: server.url + "/token/revocation", Auth: auth, Transport: server.client.Transport}
	}
	secret := func(s string) refresh.ClientAuth {
		return refresh.ClientSecretBasic("basic", func(context.Context) (string, error) { return s, nil })
	}
	ways := map[string]refresh.ClientAuth{"client_secret_basic": secret(clientSecret), "tls_client_auth": refresh.TLSClientAuth("tls", nil)}
	for algorithm, s := range signers {
		ways["private_key_jwt "+string(algorithm)] = refresh.PrivateKeyJWT(string(algorithm), s.KeyID, "", s.Key)
		ways["private_key_jwt "+string(algorithm)+" for the issuer"] = refresh.PrivateKeyJWT(string(algorithm), "", server.url, s.Key)
	}
	for name, auth := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := endpoint(auth)
			r, err := refresh.New(refresh.Config{Source: e})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			first, err := r.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			state, _ := r.State()
			if left := time.Until(state.Expires); left < 9*time.Minute || left > 10*time.Minute || !server.active(t, first) {
				t.Errorf("it ends in %v, and is good: %v", left, server.active(t, first))
			}
			second, err := r.Renew(t.Context(), first)
			if err != nil || second == first || !server.active(t, second) {
				t.Errorf("%v, after %v: %v", second, first, err)
			}

			// In exchange for that, again and again.
			chain := endpoint(auth)
			chain.Subject, chain.Chain = ingressauth.Static(second), true
			for range 3 {
				third, err := chain.Token(t.Context())
				if err != nil || third == second || !server.active(t, third) {
					t.Errorf("%v %v", third, err)
				}
			}

			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if server.active(t, first) || server.active(t, second) {
				t.Error("what was issued is good after the end")
			}
		})
	}
	t.Run("no client", func(t *testing.T) {
		subject, err := endpoint(secret(clientSecret)).Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		e := endpoint(nil)
		e.Subject, e.Parameters = ingressauth.Static(subject), url.Values{"client_id": {"public"}}
		issued, err := e.Token(t.Context())
		if err != nil || !server.active(t, issued) {
			t.Fatal(issued, err)
		}
		if err := e.Revoke(t.Context(), issued); err != nil || server.active(t, issued) {
			t.Errorf("revoked: %v", err)
		}
	})
	other := newSigners()[algorithms[0]]
	for name, tt := range map[string]struct {
		auth          refresh.ClientAuth
		subject, code string
	}{
		"another secret": {secret("made-up"), "", "invalid_client"},
		"another key":    {refresh.PrivateKeyJWT(string(algorithms[0]), "", "", other.Key), "", "invalid_client"},
		"another server": {refresh.PrivateKeyJWT(string(algorithms[0]), "", "https://other.example", signers[algorithms[0]].Key), "", "invalid_client"},
		"another token":  {secret(clientSecret), "made-up-token-of-nobody-1", "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			e := endpoint(tt.auth)
			if tt.subject != "" {
				token, err := ingressauth.NewToken(tt.subject, "")
				if err != nil {
					t.Fatal(err)
				}
				e.Subject = ingressauth.Static(token)
			}
			_, err := e.Token(t.Context())
			var answer *refresh.EndpointError
			if !errors.As(err, &answer) || answer.Code != tt.code || strings.Contains(err.Error(), "made-up") {
				t.Errorf("%v, want %s", err, tt.code)
			}
		})
	}
}
