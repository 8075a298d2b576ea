package verify_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/verify"
)

// sessionKeys knows keys by their text, and is down if err is set.
type sessionKeys struct {
	known map[string]verify.SessionKey
	err   error
}

func (s *sessionKeys) LookUp(_ context.Context, key ingressauth.Token) (verify.SessionKey, error) {
	if s.err != nil {
		return verify.SessionKey{}, s.err
	}
	found, ok := s.known[key.Reveal()]
	if !ok {
		return verify.SessionKey{}, fmt.Errorf("%w: %v", verify.ErrUnknownSessionKey, key)
	}
	return found, nil
}

const (
	oneKey  = "sk-ant-sid01-one"
	manyKey = "sk-ant-sid01-many"
	noneKey = "sk-ant-sid01-none"
	lateKey = "sk-ant-sid01-late"
)

func newSessionKeys() *sessionKeys {
	key := func(session string, expires time.Time, organizations ...string) verify.SessionKey {
		return verify.SessionKey{
			Principal:     verify.Principal{Issuer: "registry", Session: session, TokenID: session, ExpiresAt: expires},
			Organizations: organizations,
		}
	}
	return &sessionKeys{known: map[string]verify.SessionKey{
		oneKey:  key("s1", time.Time{}, "org-1"),
		manyKey: key("s2", now.Add(time.Hour), "org-1", "org-2"),
		noneKey: key("s3", time.Time{}),
		lateKey: key("s4", now, "org-1"),
	}}
}

func TestVerifyRequest(t *testing.T) {
	c := config(plainIssuer(t))
	c.SessionKeys = newSessionKeys()
	v := newVerifier(t, c)
	token := signers()[verify.EdDSA].Token(plain())
	const cookie, organization = "Cookie", "X-Organization-Uuid"
	auth := "Authorization"
	for _, tt := range []struct {
		name   string
		header http.Header
		want   verify.Reason // "none" for no credential
		who    string        // subject or session, and organisation
	}{
		{"bearer", http.Header{auth: {"Bearer " + token}}, "", "someone "},
		{"bearer in another case, and spaces", http.Header{auth: {" bEARER   " + token + " "}}, "", "someone "},
		{"bearer and other cookies", http.Header{auth: {"Bearer " + token}, cookie: {"a=b; xsessionKey=1; sessionKeyx=2; SESSIONKEY=3"}}, "", "someone "},
		{"bearer and an organisation, which says nothing", http.Header{auth: {"Bearer " + token}, organization: {"org-9"}}, "", "someone "},
		{"a key", http.Header{cookie: {"sessionKey=" + oneKey}}, "", "s1 org-1"},
		{"a key among others", http.Header{cookie: {"a=b;sessionKey=" + oneKey + " ;c=\"d", "e"}}, "", "s1 org-1"},
		{"a key in a second field", http.Header{cookie: {"a=b", "sessionKey=" + oneKey}}, "", "s1 org-1"},
		{"the same key twice", http.Header{cookie: {"sessionKey=" + oneKey + "; sessionKey=" + oneKey, "sessionKey=" + oneKey}}, "", "s1 org-1"},
		{"a key and its organisation", http.Header{cookie: {"sessionKey=" + oneKey}, organization: {"org-1"}}, "", "s1 org-1"},
		{"one of two organisations", http.Header{cookie: {"sessionKey=" + manyKey}, organization: {"org-2"}}, "", "s2 org-2"},

		{"nothing", http.Header{}, "none", ""},
		{"no header", nil, "none", ""},
		{"another scheme", http.Header{auth: {"Basic dTpw"}}, "none", ""},
		{"a scheme that begins so", http.Header{auth: {"Bearers " + token}}, "none", ""},
		{"an empty field", http.Header{auth: {""}}, "none", ""},
		{"other cookies", http.Header{cookie: {"a=b; session=" + oneKey}}, "none", ""},
		{"a token elsewhere", http.Header{"X-Authorization": {"Bearer " + token}}, "none", ""},

		{"both", http.Header{auth: {"Bearer " + token}, cookie: {"sessionKey=" + oneKey}}, verify.Malformed, ""},
		{"another scheme and a key", http.Header{auth: {"Basic dTpw"}, cookie: {"sessionKey=" + oneKey}}, verify.Malformed, ""},
		{"two fields", http.Header{auth: {"Bearer " + token, "Bearer " + token}}, verify.Malformed, ""},
		{"two fields, one empty", http.Header{auth: {"Bearer " + token, ""}}, verify.Malformed, ""},
		{"two schemes", http.Header{auth: {"Basic dTpw", "Bearer " + token}}, verify.Malformed, ""},
		{"two in one field", http.Header{auth: {"Bearer " + token + ", Bearer " + token}}, verify.Malformed, ""},
		{"bearer and nothing", http.Header{auth: {"Bearer"}}, verify.Malformed, ""},
		{"bearer and a space", http.Header{auth: {"Bearer "}}, verify.Malformed, ""},
		{"bearer and a tab", http.Header{auth: {"Bearer\t" + token}}, "none", ""},
		{"a session key as bearer", http.Header{auth: {"Bearer " + oneKey}}, verify.Malformed, ""},
		{"a bad token", http.Header{auth: {"Bearer " + token[:len(token)-2]}}, verify.WrongSignature, ""},
		{"two keys", http.Header{cookie: {"sessionKey=" + oneKey + "; sessionKey=" + manyKey}}, verify.Malformed, ""},
		{"two keys in two fields", http.Header{cookie: {"sessionKey=" + oneKey, "sessionKey=" + manyKey}}, verify.Malformed, ""},
		{"two keys, one of them none", http.Header{cookie: {"sessionKey=; sessionKey=" + oneKey}}, verify.Malformed, ""},
		{"two keys, one of them quoted", http.Header{cookie: {"sessionKey=" + oneKey + `; sessionKey="` + oneKey + `"`}}, verify.Malformed, ""},
		{"two keys, one with a space before =", http.Header{cookie: {"sessionKey =" + manyKey + "; sessionKey=" + oneKey}}, verify.Malformed, ""},
		{"an empty key", http.Header{cookie: {"sessionKey="}}, verify.Malformed, ""},
		{"a cookie without a value", http.Header{cookie: {"sessionKey"}}, verify.Malformed, ""},
		{"a quoted key", http.Header{cookie: {`sessionKey="` + oneKey + `"`}}, verify.Malformed, ""},
		{"a key with a comma", http.Header{cookie: {"sessionKey=" + oneKey + ",b"}}, verify.Malformed, ""},
		{"a key with a space", http.Header{cookie: {"sessionKey=" + oneKey + " b"}}, verify.Malformed, ""},
		{"a token as a cookie", http.Header{cookie: {"sessionKey=" + token}}, verify.Malformed, ""},
		{"an unknown key", http.Header{cookie: {"sessionKey=sk-ant-sid01-unknown"}}, verify.WrongKey, ""},
		{"a key in another case", http.Header{cookie: {"sessionKey=" + "sk-ant-sid01-ONE"}}, verify.WrongKey, ""},
		{"another organisation", http.Header{cookie: {"sessionKey=" + oneKey}, organization: {"org-2"}}, verify.WrongClaim, ""},
		{"an organisation in another case", http.Header{cookie: {"sessionKey=" + oneKey}, organization: {"ORG-1"}}, verify.WrongClaim, ""},
		{"an empty organisation", http.Header{cookie: {"sessionKey=" + oneKey}, organization: {""}}, verify.WrongClaim, ""},
		{"two organisations", http.Header{cookie: {"sessionKey=" + manyKey}, organization: {"org-1", "org-1"}}, verify.Malformed, ""},
		{"none of two organisations", http.Header{cookie: {"sessionKey=" + manyKey}}, verify.WrongClaim, ""},
		{"a key for no organisation", http.Header{cookie: {"sessionKey=" + noneKey}}, verify.WrongClaim, ""},
		{"a key for no organisation, and one", http.Header{cookie: {"sessionKey=" + noneKey}, organization: {""}}, verify.WrongClaim, ""},
		{"a key that has ended", http.Header{cookie: {"sessionKey=" + lateKey}}, verify.Expired, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := v.VerifyRequest(&http.Request{Header: tt.header})
			if tt.want == "none" {
				if !errors.Is(err, ingressauth.ErrNoToken) || p != nil {
					t.Errorf("%v, %v; want ErrNoToken", p, err)
				}
				return
			}
			credential := fmt.Sprint(tt.header)
			checkRefusal(t, p, err, credential, tt.want)
			if p != nil {
				if got := cmp.Or(p.Session, p.Subject) + " " + p.Organization; got != tt.who {
					t.Errorf("%q, want %q", got, tt.who)
				}
			}
		})
	}
}

// TestSessionKeysUnavailable has none that looks keys up, and one that is down.
func TestSessionKeysUnavailable(t *testing.T) {
	r := &http.Request{Header: http.Header{"Cookie": {"sessionKey=" + oneKey}}}
	v := newVerifier(t, config(plainIssuer(t)))
	p, err := v.VerifyRequest(r)
	checkRefusal(t, p, err, oneKey, verify.WrongKey)

	keys := newSessionKeys()
	keys.err = errors.New("the registry is down")
	c := config(plainIssuer(t))
	c.SessionKeys = keys
	p, err = newVerifier(t, c).VerifyRequest(r)
	if refusal := checkRefusal(t, p, err, oneKey, verify.KeysUnavailable); !errors.Is(refusal, keys.err) {
		t.Errorf("%v does not wrap the reason", refusal)
	}
}

// TestSessionKeysRevoked asks for session keys, too.
func TestSessionKeysRevoked(t *testing.T) {
	revoked := &revocations{ids: map[string]bool{"s1": true}}
	keys := newSessionKeys()
	c := config(plainIssuer(t))
	c.SessionKeys, c.Revocations = keys, revoked
	v := newVerifier(t, c)
	p, err := v.VerifyRequest(&http.Request{Header: http.Header{"Cookie": {"sessionKey=" + oneKey}}})
	checkRefusal(t, p, err, oneKey, verify.Revoked)
	p, err = v.VerifyRequest(&http.Request{Header: http.Header{"Cookie": {"sessionKey=" + manyKey}, "X-Organization-Uuid": {"org-1"}}})
	checkRefusal(t, p, err, manyKey, "")
	if p.Claims() != nil {
		t.Errorf("a session key has claims: %s", p.Claims())
	}
	if keys.known[manyKey].Principal.Organization != "" {
		t.Error("the registry's principal was changed")
	}
}

// TestRequestsOfTransport has the project's own client send what the verifier takes.
func TestRequestsOfTransport(t *testing.T) {
	c := config(plainIssuer(t))
	c.SessionKeys = newSessionKeys()
	v := newVerifier(t, c)
	for _, tt := range []struct{ text, organization string }{
		{signers()[verify.ES256].Token(plain()), ""}, {oneKey, ""}, {manyKey, "org-2"},
	} {
		token, err := ingressauth.NewToken(tt.text, tt.organization)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Header: http.Header{"Cookie": {"a=b"}}}
		token.SetHeader(r.Header)
		p, err := v.VerifyRequest(r)
		checkRefusal(t, p, err, tt.text, "")
		if p != nil && tt.organization != "" && p.Organization != tt.organization {
			t.Errorf("organisation %q", p.Organization)
		}
	}
}
