package refresh

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/ingressauth/ingressauth/internal/jws"
)

// ClientAuth is how a client of an [Endpoint] proves who it is: [ClientSecretBasic],
// [PrivateKeyJWT] or [TLSClientAuth]. Nothing secret is in what package fmt prints of one.
type ClientAuth interface {
	// authenticate adds to the header, or the form, of a request. The URL is that of the
	// token endpoint.
	authenticate(ctx context.Context, url string, header http.Header, form url.Values) error
	// tlsConfig is nil where it says nothing.
	tlsConfig() *tls.Config
	// check says what is wrong with it before it is used.
	check() error
}

// clientAuth is made of functions, of which fmt prints addresses.
type clientAuth struct {
	add         func(ctx context.Context, url string, header http.Header, form url.Values) error
	certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	err         error // of its parts
}

func (a clientAuth) check() error { return a.err }

var errNoClient = errors.New("a client without an id")

func (a clientAuth) authenticate(ctx context.Context, url string, header http.Header, form url.Values) error {
	return a.add(ctx, url, header, form)
}

func (a clientAuth) tlsConfig() *tls.Config {
	if a.certificate == nil {
		return nil
	}
	return &tls.Config{GetClientCertificate: a.certificate}
}

// ClientSecretBasic returns the method client_secret_basic (RFC 6749, section 2.3.1). The secret
// is asked for each time, so that it may be replaced, and may be asked for concurrently. The context
// is that of the request, and has ten seconds.
func ClientSecretBasic(clientID string, secret func(context.Context) (string, error)) ClientAuth {
	a := clientAuth{}
	if clientID == "" {
		a.err = errNoClient
	} else if secret == nil {
		a.err = errors.New("ClientSecretBasic without a secret")
	}
	a.add = func(ctx context.Context, _ string, header http.Header, _ url.Values) error {
		s, err := secret(ctx)
		if err == nil && s == "" {
			err = errors.New("it is empty")
		}
		if err != nil {
			return fmt.Errorf("client secret: %w", err)
		}
		request := http.Request{Header: header}
		request.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(s))
		return nil
	}
	return a
}

// assertionTime is how long an assertion is good for.
const assertionTime = time.Minute

// PrivateKeyJWT returns the method private_key_jwt (RFC 7523, section 2.2): each request has an
// assertion that is signed with the key, under ES256 (P-256), EdDSA (Ed25519) or RS256 (RSA of
// 2048 bits or more), and good for a minute. Its "kid" is keyID, if that is not empty, and its
// "aud" is the audience: the server's issuer identifier, or if it is empty, the URL of the token
// endpoint.
func PrivateKeyJWT(clientID, keyID, audience string, key crypto.Signer) ClientAuth {
	a := clientAuth{}
	var alg string
	if clientID == "" {
		a.err = errNoClient
	} else if key == nil {
		a.err = errors.New("PrivateKeyJWT without a key")
	} else {
		alg, a.err = jws.Algorithm(key.Public())
	}
	a.add = func(_ context.Context, endpoint string, _ http.Header, form url.Values) error {
		header := map[string]string{"alg": alg, "typ": "JWT"}
		if keyID != "" {
			header["kid"] = keyID
		}
		now := time.Now()
		assertion, err := sign(key, header, map[string]any{
			"iss": clientID, "sub": clientID, "aud": cmp.Or(audience, endpoint), "jti": rand.Text(),
			"iat": now.Unix(), "exp": now.Add(assertionTime).Unix(),
		})
		if err != nil {
			return fmt.Errorf("client assertion: %w", err)
		}
		form.Set("client_id", clientID)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
		return nil
	}
	return a
}

// sign returns a JWT.
func sign(key crypto.Signer, header, claims any) (string, error) {
	h, err1 := json.Marshal(header)
	c, err2 := json.Marshal(claims)
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	return jws.Sign(key, string(h), string(c))
}

// TLSClientAuth returns the methods tls_client_auth and self_signed_tls_client_auth (RFC 8705).
// The certificate is asked for at each handshake, as [tls.Config.GetClientCertificate] is. It is
// nil where [Endpoint.Transport] presents it.
func TLSClientAuth(clientID string, certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)) ClientAuth {
	a := clientAuth{certificate: certificate, add: func(_ context.Context, _ string, _ http.Header, form url.Values) error {
		form.Set("client_id", clientID)
		return nil
	}}
	if clientID == "" {
		a.err = errNoClient
	}
	return a
}
