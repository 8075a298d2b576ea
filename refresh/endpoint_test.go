package refresh_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh"
	"github.com/ingressauth/ingressauth/refresh/refreshtest"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

func secretAuth() refresh.ClientAuth {
	return refresh.ClientSecretBasic("the client", func(context.Context) (string, error) { return "made-up:secret%&", nil })
}

// TestGrants has what is sent be what the RFCs say.
func TestGrants(t *testing.T) {
	server := refreshtest.NewEndpoint()
	defer server.Close()
	subject := newToken(t, "made-up-subject")
	for _, tt := range []struct {
		name     string
		endpoint *refresh.Endpoint
		want     url.Values
	}{
		{"client credentials", &refresh.Endpoint{Auth: secretAuth(), Parameters: url.Values{"scope": {"a b"}}},
			url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}}},
		{"exchange", &refresh.Endpoint{Auth: secretAuth(), Subject: ingressauth.Static(subject)},
			url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"made-up-subject"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}}},
		{"exchange of another type, without a client", &refresh.Endpoint{Subject: ingressauth.Static(subject),
			Parameters: url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "audience": {"x", "y"}, "client_id": {"public"}}},
			url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"made-up-subject"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "audience": {"x", "y"}, "client_id": {"public"}}},
		{"a certificate that the transport has", &refresh.Endpoint{Auth: refresh.TLSClientAuth("the client", nil), Transport: http.DefaultTransport},
			url.Values{"grant_type": {"client_credentials"}, "client_id": {"the client"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.endpoint.URL = server.URL
			got, err := tt.endpoint.Token(t.Context())
			if err != nil || server.Generation(got.Reveal()) == 0 {
				t.Fatal(got, err)
			}
			requests := server.Requests()
			last := requests[len(requests)-1]
			if last.Form.Encode() != tt.want.Encode() {
				t.Errorf("sent %v, want %v", last.Form, tt.want)
			}
			request := http.Request{Header: last.Header}
			id, secret, ok := request.BasicAuth()
			if ok != (tt.endpoint.Auth != nil && tt.endpoint.Transport == nil) || ok && (id != "the+client" || secret != "made-up%3Asecret%25%26") {
				t.Errorf("authenticated by %q %q", id, secret)
			}
			if last.Header.Get("Accept") != "application/json" || last.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("header: %v", last.Header)
			}
		})
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestPrivateKeyJWT has a server believe the assertions as package verify does.
func TestPrivateKeyJWT(t *testing.T) {
	server := refreshtest.NewEndpoint()
	defer server.Close()
	for _, algorithm := range []verify.Algorithm{verify.ES256, verify.EdDSA, verify.RS256} {
		for _, audience := range []string{"", "https://issuer.example"} {
			t.Run(fmt.Sprintf("%s/%q", algorithm, audience), func(t *testing.T) {
				signer := verifytest.NewSigner(algorithm, "key-1")
				e := &refresh.Endpoint{URL: server.URL, Auth: refresh.PrivateKeyJWT("client-1", "key-1", audience, signer.Key)}
				ids := make(map[string]bool)
				for range 2 {
					if _, err := e.Token(t.Context()); err != nil {
						t.Fatal(err)
					}
					requests := server.Requests()
					form := requests[len(requests)-1].Form
					if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Get("client_id") != "client-1" {
						t.Errorf("sent %v", form)
					}
					keys, err := verify.NewKeySet(verifytest.JWKS(signer.JWK()), nil)
					if err != nil {
						t.Fatal(err)
					}
					want := audience
					if want == "" {
						want = server.URL
					}
					v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{
						Issuer: "client-1", Audiences: []string{want}, Algorithms: []verify.Algorithm{algorithm},
						Claims: map[string]string{"sub": "client-1"}, Keys: keys, MaxLife: time.Minute,
					}}})
					if err != nil {
						t.Fatal(err)
					}
					p, err := v.Verify(t.Context(), form.Get("client_assertion"))
					if err != nil {
						t.Fatal(err)
					}
					ids[p.TokenID] = true
				}
				if len(ids) != 2 {
					t.Errorf("ids of two assertions: %v", ids)
				}
			})
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&refresh.Endpoint{URL: server.URL, Auth: refresh.PrivateKeyJWT("c", "", "", p384)}).Token(t.Context())
	wantError(t, err, "ask token endpoint: a key is P-256, Ed25519, or RSA of 2048 bits or more")
}

// failing is a key that cannot sign.
type failing struct{ crypto.Signer }

func (failing) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the token is locked")
}

// TestFailingKey has the key be elsewhere, and not to be had.
func TestFailingKey(t *testing.T) {
	signer := verifytest.NewSigner(verify.ES256, "")
	_, err := (&refresh.Endpoint{URL: "https://issuer.example", Auth: refresh.PrivateKeyJWT("c", "", "", failing{signer.Key})}).Token(t.Context())
	wantError(t, err, "ask token endpoint: client assertion: the token is locked")
}

// TestSameIssued has an endpoint issue the token that was refused.
func TestSameIssued(t *testing.T) {
	server, e := inProcess()
	server.SetText(func(int) string { return "always-the-same" })
	if _, err := e.Renew(t.Context(), newToken(t, "always-the-same")); !errors.Is(err, ingressauth.ErrNoToken) {
		t.Error(err)
	}
	if got, err := e.Renew(t.Context(), newToken(t, "another")); err != nil || got.Reveal() != "always-the-same" {
		t.Error(got, err)
	}
}

// newCertificate returns a certificate of this name that signs itself.
func newCertificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTLS has a server ask for a certificate, and not be believed where it cannot be.
func TestTLS(t *testing.T) {
	endpoint := new(refreshtest.Endpoint)
	server := httptest.NewUnstartedServer(endpoint)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	defer server.Close()
	client := newCertificate(t, "client-1")
	present := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client, nil }

	e := &refresh.Endpoint{URL: server.URL, Auth: refresh.TLSClientAuth("client-1", present)}
	_, err := e.Token(t.Context())
	wantError(t, err, "ask token endpoint: tls: failed to verify certificate: x509: certificate signed by unknown authority")
	wantNoSecret(t, err.Error(), "127.0.0.1")

	trusting := server.Client().Transport.(*http.Transport).Clone()
	trusting.TLSClientConfig.GetClientCertificate = present
	defer trusting.CloseIdleConnections()
	e = &refresh.Endpoint{URL: server.URL, Auth: refresh.TLSClientAuth("client-1", nil), Transport: trusting}
	if _, err := e.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := endpoint.Requests()[0]
	if last.Certificate != "client-1" || last.Form.Get("client_id") != "client-1" {
		t.Errorf("%+v", last)
	}
}

// TestOwnTransport has an endpoint's own transport present the certificate. The system's
// authorities are a variable's there.
func TestOwnTransport(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs SSL_CERT_FILE")
	}
	dir := t.TempDir()
	endpoint := new(refreshtest.Endpoint)
	server := httptest.NewUnstartedServer(endpoint)
	own := newCertificate(t, "server")
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, Certificates: []tls.Certificate{own}}
	server.StartTLS()
	defer server.Close()
	path := filepath.Join(dir, "ca.pem")
	writePEM(t, path, "CERTIFICATE", own.Certificate[0])
	out := runProgram(t, "endpoint", "SSL_CERT_FILE="+path, "URL="+server.URL)
	if out != "bearer\n" {
		t.Errorf("%s", out)
	}
	if requests := endpoint.Requests(); len(requests) != 1 || requests[0].Certificate != "client-1" {
		t.Errorf("%+v", requests)
	}
}

// TestUnixSocket has a server be reached over one.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Skip(err)
	}
	server := httptest.NewUnstartedServer(new(refreshtest.Endpoint))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	e := &refresh.Endpoint{URL: "http://localhost/token", Auth: secretAuth(), Transport: transport}
	if _, err := e.Token(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAnswers has servers answer in all the ways that they do.
func TestAnswers(t *testing.T) {
	const secret = "made-up-token-of-1"
	json := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	redirected := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { redirected++ }))
	defer other.Close()
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		error  string // "" is none
		code   string
	}{
		{"Bearer", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer"}`), "", ""},
		{"bearer", json(200, `{"access_token":"made-up-token-of-1","token_type":"bearer","expires_in":60,"x":[1]}`), "", ""},
		{"N_A", json(200, `{"access_token":"made-up-token-of-1","token_type":"N_A","expires_in":null}`), "", ""},
		{"seconds in a string", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer","expires_in":"60"}`), "", ""},
		{"seconds with a fraction", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer","expires_in":60.5}`), "", ""},
		{"more seconds than there are", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer","expires_in":1e400}`), "", ""},
		{"seconds that are none", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer","expires_in":"soon"}`), `"expires_in" is not a number of seconds`, ""},
		{"seconds that are a list", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer","expires_in":[1]}`), `"expires_in" is not a number of seconds`, ""},
		{"seconds that are NaN", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer","expires_in":"nan"}`), `"expires_in" is not a number of seconds`, ""},
		{"no seconds left", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer","expires_in":0}`), `the token has expired already`, ""},
		{"a refresh token", json(200, `{"access_token":"made-up-token-of-1","token_type":"N_A","issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token"}`), "is a refresh token, which is sent to no service", ""},
		{"no token", json(200, `{"token_type":"Bearer"}`), `the answer has no "access_token"`, ""},
		{"a token that is none", json(200, `{"access_token":1,"token_type":"Bearer"}`), `the answer has no "access_token"`, ""},
		{"names in another case", json(200, `{"Access_Token":"made-up-token-of-1","token_type":"Bearer"}`), `the answer has no "access_token"`, ""},
		{"no type", json(200, `{"access_token":"made-up-token-of-1"}`), `the answer has no "token_type"`, ""},
		{"another type", json(200, `{"access_token":"made-up-token-of-1","token_type":"DPoP"}`), "the token is of the type DPoP, and not Bearer", ""},
		{"a short secret for a type", json(200, `{"access_token":"x","token_type":"made-up:secret%&"}`), "the token is of the type [masked], and not Bearer", ""},
		{"a token for a type", json(200, `{"access_token":"x","token_type":"made-up-token-of-1"}`), "", ""},
		{"a token with a line break", json(200, `{"access_token":"made-up-token-of-1\n","token_type":"Bearer"}`), "the access token cannot be used: the token holds a control character", ""},
		{"a list", json(200, `["made-up-token-of-1"]`), "the answer is not a JSON object", ""},
		{"null", json(200, `null`), "the answer is not a JSON object", ""},
		{"half an object", json(200, `{"access_token":"made-up-token-of-1","token_type":"Bearer"`), "the answer is not a JSON object", ""},
		{"nothing", json(200, ""), "the answer is not a JSON object: is this the URL of a token endpoint?", ""},
		{"HTML", refreshtest.HTML, "the answer is not a JSON object: is this the URL of a token endpoint?", ""},
		{"a gibibyte", refreshtest.Flood, "the answer is longer than 256 KiB", ""},
		{"an error with 200", json(200, `{"error":"invalid_grant"}`), "invalid_grant (the subject token has expired, was revoked, or is not taken here)", "invalid_grant"},
		{"an error", json(400, `{"error":"invalid_scope","error_description":"no such scope"}`), "ask token endpoint: invalid_scope (the scope is unknown, or more than this client may have): no such scope", "invalid_scope"},
		{"an error of later", json(400, `{"error":"invalid_target"}`), "invalid_target (the audience or resource is unknown, or not for this client)", "invalid_target"},
		{"an unknown error", json(400, `{"error":"own_error","error_description":5}`), "ask token endpoint: own_error", "own_error"},
		{"an error that shows a token", json(400, `{"error":"invalid_request","error_description":"made-up-token-of-1 and sk-ant-cc-x or eyJhbGciOiJFUzI1NiJ9"}`), "invalid_request (a parameter is missing or wrong): [masked] and [masked] or [masked]", "invalid_request"},
		{"an error that shows a short secret", json(400, `{"error":"invalid_client","error_description":"made-up:secret%& or made-up%3Asecret%25%26?"}`), "certificate): [masked] or [masked]?", "invalid_client"},
		{"an error that is a token", json(400, `{"error":"sk-ant-cc-x"}`), "ask token endpoint: [masked]", "[masked]"},
		{"an error that harms terminals", json(400, `{"error":"x\u001b[31m","error_description":"a\nb"}`), "ask token endpoint: x [31m: a b", "x [31m"},
		{"an error without an end", json(400, `{"error":"x","error_description":"`+strings.Repeat("word ", 1000)+`"}`), "...", "x"},
		{"an error of HTML", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(502)
			fmt.Fprint(w, "<html>made-up-token-of-1</html>")
		}, "the server answered with status 502 and text/html", ""},
		{"an error of nothing", json(500, ""), "the server answered with status 500", ""},
		{"another success", json(202, `{"access_token":"made-up-token-of-1","token_type":"Bearer"}`), "the server answered with status 202", ""},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, "the server answered with status 307, a redirect, which is not followed", ""},
		{"the end of the connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF", ""},
		{"the end of the connection, amid", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"access_token":"made-up-token-of-1"`)
		}, "EOF", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := refreshtest.NewEndpoint()
			defer server.Close()
			server.FailWith(tt.answer)
			e := &refresh.Endpoint{URL: server.URL, Auth: secretAuth()}
			got, err := e.Token(t.Context())
			if tt.name == "a token for a type" {
				wantError(t, err, "of the type")
				wantNoSecret(t, err.Error(), secret)
				return
			}
			if tt.error == "" {
				if err != nil || got.Reveal() != secret {
					t.Errorf("%v %v", got, err)
				}
				return
			}
			wantError(t, err, tt.error)
			if err == nil {
				return
			}
			wantNoSecret(t, err.Error(), secret, "127.0.0.1", "made-up:secret")
			if !strings.HasPrefix(err.Error(), "ask token endpoint: ") || len(err.Error()) > 400 {
				t.Errorf("%d bytes: %v", len(err.Error()), err)
			}
			var answer *refresh.EndpointError
			if errors.As(err, &answer) != (tt.code != "" || strings.Contains(tt.error, "status")) || answer != nil && answer.Code != tt.code {
				t.Errorf("%#v", answer)
			}
		})
	}
	if redirected > 0 {
		t.Error("a redirect was followed")
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.Sys > 1<<30 {
		t.Errorf("%d MiB of memory", m.Sys>>20)
	}
}

// TestEndpointFields refuses what makes no sense, and shows none of it.
func TestEndpointFields(t *testing.T) {
	const secret = "made-up"
	subject := ingressauth.Static(newToken(t, "x"))
	present := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }
	for _, tt := range []struct {
		name     string
		endpoint *refresh.Endpoint
		error    string
	}{
		{"plain HTTP", &refresh.Endpoint{URL: "http://issuer.example/made-up", Auth: secretAuth()}, "is https://, or http:// on this machine"},
		{"plain HTTP for revocation", &refresh.Endpoint{URL: "https://issuer.example", RevocationURL: "http://issuer.example/made-up", Auth: secretAuth()}, "is https://, or http:// on this machine"},
		{"no host", &refresh.Endpoint{URL: "https:///made-up", Auth: secretAuth()}, "is https://"},
		{"no URL", &refresh.Endpoint{URL: "made-up\x00", Auth: secretAuth()}, "is https://"},
		{"a password", &refresh.Endpoint{URL: "https://user:made-up@issuer.example", Auth: secretAuth()}, "without a password"},
		{"a fragment", &refresh.Endpoint{URL: "https://issuer.example#made-up", Auth: secretAuth()}, "without a password or a fragment"},
		{"another scheme", &refresh.Endpoint{URL: "ftp://issuer.example", Auth: secretAuth()}, "is https://"},
		{"nobody", &refresh.Endpoint{URL: "https://issuer.example"}, "without a Subject needs Auth"},
		{"a chain of nothing", &refresh.Endpoint{URL: "https://issuer.example", Auth: secretAuth(), Chain: true}, "Chain needs a Subject"},
		{"two certificates", &refresh.Endpoint{URL: "https://issuer.example", Auth: refresh.TLSClientAuth("x", present), Transport: http.DefaultTransport}, "a Transport of its own"},
		{"a parameter of ours", &refresh.Endpoint{URL: "https://issuer.example", Auth: secretAuth(), Parameters: url.Values{"client_id": {"made-up"}}}, "the parameter client_id is set by other fields, and has to be left out"},
		{"another parameter of ours", &refresh.Endpoint{URL: "https://issuer.example", Subject: subject, Parameters: url.Values{"subject_token": {"made-up"}}}, "the parameter subject_token is set by other fields, and has to be left out"},
		{"no secret", &refresh.Endpoint{URL: "http://localhost:1", Auth: refresh.ClientSecretBasic("x", func(context.Context) (string, error) { return "", nil })}, "client secret: it is empty"},
		{"a secret that fails", &refresh.Endpoint{URL: "http://localhost:1", Auth: refresh.ClientSecretBasic("x", func(context.Context) (string, error) { return "", errors.New("gone") })}, "client secret: gone"},
		{"a phantom for a subject", &refresh.Endpoint{URL: "http://localhost:1", Subject: ingressauth.Static(phantomOf(t, false))}, "the subject to exchange: what was found is a phantom"},
		{"no subject", &refresh.Endpoint{URL: "http://localhost:1", Subject: ingressauth.Static(ingressauth.Token{})}, "the subject to exchange: no session token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.endpoint.Token(t.Context())
			wantError(t, err, tt.error)
			if err != nil {
				wantNoSecret(t, err.Error(), secret)
			}
			if err := tt.endpoint.Revoke(t.Context(), newToken(t, "x")); err == nil {
				t.Error("it revokes")
			}
		})
	}
	wantNoSecret(t, fmt.Sprintf("%v %+v %#v", secretAuth(), secretAuth(), &refresh.Endpoint{Auth: secretAuth()}), secret)
}

// TestNoServer has nobody be there.
func TestNoServer(t *testing.T) {
	_, err := (&refresh.Endpoint{URL: "http://127.0.0.1:1", Auth: secretAuth()}).Token(t.Context())
	wantError(t, err, "ask token endpoint: dial: connect: connection refused")
	wantNoSecret(t, err.Error(), "127.0.0.1")
}

// TestStall has the endpoint take its time: it has ten seconds, or as long as the caller.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, e := inProcess()
		server.Stall()
		begun := time.Now()
		_, err := e.Token(t.Context())
		wantError(t, err, "ask token endpoint: no whole answer within 10s")
		if d := time.Since(begun); d != 10*time.Second {
			t.Error(d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		err = e.Revoke(ctx, newToken(t, "x"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestRevoke has a server refuse to.
func TestRevoke(t *testing.T) {
	server, e := inProcess()
	token := newToken(t, "made-up")
	if err := e.Revoke(t.Context(), token); err != nil || len(server.Revoked()) != 1 || server.Revoked()[0] != "made-up" {
		t.Error(err, server.Revoked())
	}
	server.Fail(http.StatusBadRequest, "unsupported_token_type")
	err := e.Revoke(t.Context(), token)
	wantError(t, err, "revoke token: unsupported_token_type: it was told to")
}

// TestNoIdleConnections has none be kept, since the next request is hours away.
func TestNoIdleConnections(t *testing.T) {
	var open, all atomic.Int64
	server := httptest.NewUnstartedServer(new(refreshtest.Endpoint))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
			all.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server.Start()
	defer server.Close()
	e := &refresh.Endpoint{URL: server.URL, Auth: secretAuth()}
	for range 10 {
		if _, err := e.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); open.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections of %d are open", open.Load(), all.Load())
		}
	}
}

// TestEndpointTransport has a Transport send what an endpoint issues, and renew it when it is
// refused.
func TestEndpointTransport(t *testing.T) {
	issuer := refreshtest.NewEndpoint()
	defer issuer.Close()
	refused := 0
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if issuer.Generation(text) != 2 {
			refused++
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer service.Close()
	r := start(t, refresh.Config{Source: &refresh.Endpoint{URL: issuer.URL, Auth: secretAuth()}})
	client := &http.Client{Transport: &ingressauth.Transport{Source: r, Origins: []string{service.URL}}}
	response, err := client.Get(service.URL)
	if err != nil || response.StatusCode != 200 || refused != 1 {
		t.Fatal(response, err, refused)
	}
	response.Body.Close()
	client.CloseIdleConnections()
}

func init() {
	// endpoint gets a token with a certificate.
	testPrograms["endpoint"] = func() {
		t := new(testing.T)
		client := newCertificate(t, "client-1")
		e := &refresh.Endpoint{URL: os.Getenv("URL"), Auth: refresh.TLSClientAuth("client-1",
			func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client, nil })}
		got, err := e.Token(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(got.Scheme())
	}
}

// TestNoHTTP has a server speak something else, in which there is a token.
func TestNoHTTP(t *testing.T) {
	const secret = "made-up-token-of-1"
	for name, answer := range map[string]string{
		"not HTTP":     `{"access_token":"` + secret + `"}` + "\r\n\r\n",
		"a bad target": "HTTP/1.1 302 Found\r\nLocation: https://h/%zz?access_token=" + secret + "\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				conn.Write([]byte(answer))
			}))
			defer server.Close()
			_, err := (&refresh.Endpoint{URL: server.URL, Auth: secretAuth()}).Token(t.Context())
			wantError(t, err, "[masked]")
			wantNoSecret(t, err.Error(), secret)
		})
	}
}

// TestPublicClientRevokes has a client say who it is, which has nothing to prove that.
func TestPublicClientRevokes(t *testing.T) {
	var form url.Values
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form = r.PostForm
	}))
	defer server.Close()
	e := &refresh.Endpoint{URL: server.URL, RevocationURL: server.URL, Subject: ingressauth.Static(newToken(t, "s")), Parameters: url.Values{"client_id": {"public"}, "scope": {"x"}}}
	if err := e.Revoke(t.Context(), newToken(t, "dead")); err != nil {
		t.Fatal(err)
	}
	if want := "client_id=public&token=dead&token_type_hint=access_token"; form.Encode() != want {
		t.Errorf("sent %s, want %s", form.Encode(), want)
	}
}
