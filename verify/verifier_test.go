package verify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

func TestPrincipal(t *testing.T) {
	v := newVerifier(t, config(sessionIssuer(t)))
	s := signers()[verify.ES256]
	full := verify.Principal{
		Issuer: "ccr", Subject: "ccr:session:session_1", Session: "session_1", Organization: "org-1", Environment: environment,
		Creator: verify.Creator{Kind: verify.User, ID: "user_1", Email: "someone@example.com"}, Runner: "runner_1",
		TokenID: "token-1", IssuedAt: now, ExpiresAt: now.Add(4 * time.Hour),
	}
	with := func(change func(*verify.Principal)) verify.Principal {
		p := full
		change(&p)
		return p
	}
	for _, tt := range []struct {
		name   string
		claims claims
		want   verify.Principal
	}{
		{"full", session(), full},
		{"no flat claims", session().With("ccr:session_id", nil).With("ccr:org_id", nil).With("ccr:pool_id", nil),
			with(func(p *verify.Principal) { p.Organization = "" })},
		{"no subject", session().With("sub", nil), with(func(p *verify.Principal) { p.Subject = "" })},
		{"no actor", session().With("act", nil), with(func(p *verify.Principal) { p.Creator, p.Runner = verify.Creator{}, "" })},
		{"an agent", session().With("act", claims{"sub": "agent:bot:7"}),
			with(func(p *verify.Principal) { p.Creator, p.Runner = verify.Creator{Kind: verify.Agent, ID: "bot:7"}, "" })},
		{"an unknown kind of creator", session().With("act", claims{"sub": "robot:7", "email": "x@example.com"}),
			with(func(p *verify.Principal) { p.Creator, p.Runner = verify.Creator{}, "" })},
		{"a creator without an id", session().With("act", claims{"sub": "user:"}),
			with(func(p *verify.Principal) { p.Creator, p.Runner = verify.Creator{}, "" })},
		{"another second actor", session().With("act", claims{"sub": "user:u", "act": claims{"sub": "ccr:pool:p"}}),
			with(func(p *verify.Principal) { p.Creator, p.Runner = verify.Creator{Kind: verify.User, ID: "u"}, "" })},
		{"null is not there", session().With("act", claims{"sub": "user:user_1", "email": (*string)(nil)}).With("jti", (*string)(nil)).With("nbf", (*int)(nil)),
			with(func(p *verify.Principal) { p.Creator.Email, p.Runner, p.TokenID = "", "", "" })},
		{"a fraction of a second", session().With("exp", float64(now.Unix()+60)+0.25),
			with(func(p *verify.Principal) { p.ExpiresAt = now.Add(time.Minute + 250*time.Millisecond) })},
		{"escapes", session().With("jti", "\"\\/\b\f\n\r\t\u00e9\U0001F600\u2028"),
			with(func(p *verify.Principal) { p.TokenID = "\"\\/\b\f\n\r\t\u00e9\U0001F600\u2028" })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := v.Verify(context.Background(), prefix+s.Token(tt.claims))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.want, p, cmpopts.IgnoreUnexported(verify.Principal{})); d != "" {
				t.Error(d)
			}
			if got, want := string(p.Claims()), tt.claims.JSON(); got != want {
				t.Errorf("claims %s, want %s", got, want)
			}
			p.Claims()[0] = 'x' // it is the caller's
			if got, want := string(p.Claims()), tt.claims.JSON(); got != want {
				t.Errorf("claims %s, want %s", got, want)
			}
		})
	}
	if got := (&verify.Principal{}).Claims(); got != nil {
		t.Errorf("claims of none: %s", got)
	}
}

// TestAlgorithms accepts each algorithm with its own key, and no other combination.
func TestAlgorithms(t *testing.T) {
	v := newVerifier(t, config(plainIssuer(t)))
	for alg, s := range signers() {
		wantRefused(t, v, s.Token(plain()), "")
		for other, o := range signers() {
			if other == alg {
				continue
			}
			wantRefused(t, v, s.Sign(o.Header(), plain().JSON()), verify.WrongSignature)
			mixed := strings.Replace(s.Header(), string(alg), string(other), 1)
			wantRefused(t, v, s.Sign(mixed, plain().JSON()), verify.WrongAlgorithm)
		}
		i := plainIssuer(t)
		i.Algorithms = []verify.Algorithm{alg}
		only := newVerifier(t, config(i))
		for other, o := range signers() {
			want := verify.WrongAlgorithm
			if other == alg {
				want = ""
			}
			wantRefused(t, only, o.Token(plain()), want)
		}
	}
}

func TestClaims(t *testing.T) {
	i := plainIssuer(t)
	i.Claims = map[string]string{"role": "worker", "tier": "a"}
	v := newVerifier(t, config(i))
	good := plain().With("role", "worker").With("tier", "a")
	s := signers()[verify.EdDSA]
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for _, tt := range []struct {
		name   string
		claims claims
		want   verify.Reason
	}{
		{"good", good, ""},
		{"unknown claims", good.With("x", 1).With("y", claims{"z": []int{1}}), ""},
		{"no issuer", good.With("iss", nil), verify.WrongIssuer},
		{"null issuer", good.With("iss", (*string)(nil)), verify.WrongIssuer},
		{"another issuer", good.With("iss", issuer+"/"), verify.WrongIssuer},
		{"issuer in another case", good.With("iss", strings.ToUpper(issuer)), verify.WrongIssuer},
		{"issuers", good.With("iss", []string{issuer}), verify.WrongIssuer},
		{"no audience", good.With("aud", nil), verify.WrongAudience},
		{"another audience", good.With("aud", "other"), verify.WrongAudience},
		{"an array of audiences", good.With("aud", []string{"other", audience}), ""},
		{"an array of others", good.With("aud", []string{"other", audience + "2"}), verify.WrongAudience},
		{"an empty array", good.With("aud", []string{}), verify.WrongAudience},
		{"an array with a number", good.With("aud", []any{audience, 1}), verify.WrongAudience},
		{"an array in an array", good.With("aud", [][]string{{audience}}), verify.WrongAudience},
		{"an object", good.With("aud", claims{audience: audience}), verify.WrongAudience},
		{"an audience in another case", good.With("aud", strings.ToUpper(audience)), verify.WrongAudience},
		{"a claim that is not there", good.With("role", nil), verify.WrongClaim},
		{"a claim that is another", good.With("tier", "b"), verify.WrongClaim},
		{"a claim in an array", good.With("tier", []string{"a"}), verify.WrongClaim},
		{"a claim in another case", good.With("role", nil).With("ROLE", "worker"), verify.WrongClaim},
		{"no exp", good.With("exp", nil), verify.WrongClaim},
		{"null exp", good.With("exp", (*int)(nil)), verify.WrongClaim},
		{"exp is now", good.With("exp", in(0)).With("iat", in(-time.Hour)), ""},
		{"exp within the leeway", good.With("exp", in(-59*time.Second)).With("iat", in(-time.Hour)), ""},
		{"exp at its end", good.With("exp", in(-time.Minute)).With("iat", in(-time.Hour)), verify.Expired},
		{"exp long ago", good.With("exp", 1), verify.Expired},
		{"exp zero", good.With("exp", 0), verify.Expired},
		{"nbf to come, within the leeway", good.With("nbf", in(time.Minute)), ""},
		{"nbf to come", good.With("nbf", in(61*time.Second)), verify.NotYetValid},
		{"nbf passed", good.With("nbf", in(-time.Hour)), ""},
		{"nbf is a string", good.With("nbf", "1"), verify.WrongClaim},
		{"iat to come, within the leeway", good.With("iat", in(time.Minute)), ""},
		{"iat to come", good.With("iat", in(61*time.Second)), verify.NotYetValid},
		{"iat is a string", good.With("iat", "1"), verify.WrongClaim},
		{"a day long", good.With("exp", in(24*time.Hour)), ""},
		{"longer than a day", good.With("exp", in(24*time.Hour+time.Second)), verify.TooLongLived},
		{"old and longer than a day", good.With("iat", in(-24*time.Hour)).With("exp", in(time.Second)), verify.TooLongLived},
		{"no iat", good.With("iat", nil), ""},
		{"no iat, a day left, and the leeway", good.With("iat", nil).With("exp", in(24*time.Hour+time.Minute)), ""},
		{"no iat, more than a day left", good.With("iat", nil).With("exp", in(24*time.Hour+61*time.Second)), verify.TooLongLived},
		{"sub is a number", good.With("sub", 1), verify.WrongClaim},
		{"jti is an array", good.With("jti", []string{"1"}), verify.WrongClaim},
		{"session is a number", good.With("ccr:session_id", 1), verify.WrongClaim},
		{"organisation is an object", good.With("ccr:org_id", claims{}), verify.WrongClaim},
		{"environment is true", good.With("ccr:pool_id", true), verify.WrongClaim},
		{"the session and the subject differ", good.With("sub", "ccr:session:a").With("ccr:session_id", "b"), verify.WrongClaim},
		{"act is a string", good.With("act", "user:1"), verify.WrongClaim},
		{"act.sub is a number", good.With("act", claims{"sub": 1}), verify.WrongClaim},
		{"act.email is a number", good.With("act", claims{"sub": "user:1", "email": 1}), verify.WrongClaim},
		{"act.act is a string", good.With("act", claims{"sub": "user:1", "act": "x"}), verify.WrongClaim},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refusal := wantRefused(t, v, s.Token(tt.claims), tt.want)
			if tt.want == "" {
				return
			}
			if known := tt.want != verify.WrongIssuer; known != (refusal.Issuer == issuer) {
				t.Errorf("issuer %q", refusal.Issuer)
			}
			// None of these reasons is given without a good signature.
			if tt.want != verify.WrongIssuer {
				forged := verifytest.NewSigner(verify.EdDSA, s.KeyID)
				wantRefused(t, v, forged.Token(tt.claims), verify.WrongSignature)
			}
		})
	}
}

// TestErrorNamesTheClaim shows what an operator sees.
func TestErrorNamesTheClaim(t *testing.T) {
	v := newVerifier(t, config(sessionIssuer(t)))
	refusal := wantRefused(t, v, prefix+signers()[verify.ES256].Token(session().With("ccr:role", "bridge")), verify.WrongClaim)
	if got, want := refusal.Error(), `the credential is refused: claim "ccr:role" (issuer "ccr")`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	refusal = wantRefused(t, v, "x", verify.WrongPrefix)
	if got, want := refusal.Error(), `the credential is refused: prefix`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestClaudeCode(t *testing.T) {
	v := newVerifier(t, config(sessionIssuer(t)))
	s := signers()[verify.ES256]
	for _, tt := range []struct {
		name, token string
		want        verify.Reason
	}{
		{"good", prefix + s.Token(session()), ""},
		{"no prefix", s.Token(session()), verify.WrongPrefix},
		{"a session that the vendor hosts", "sk-ant-si-" + s.Token(session()), verify.WrongPrefix},
		{"a session key", "sk-ant-sid01-opaque", verify.WrongPrefix},
		{"another role", prefix + s.Token(session().With("ccr:role", "runner")), verify.WrongClaim},
		{"no role", prefix + s.Token(session().With("ccr:role", nil)), verify.WrongClaim},
		{"another environment", prefix + s.Token(session().With("aud", []string{"ccpool_02", "anthropic-api"})), verify.WrongAudience},
		{"no environment", prefix + s.Token(session().With("aud", "anthropic-api")), verify.WrongAudience},
		{"another issuer", prefix + s.Token(session().With("iss", "ccs")), verify.WrongIssuer},
		{"no session", prefix + s.Token(session().With("ccr:session_id", nil).With("sub", nil)), verify.WrongClaim},
		{"an empty session", prefix + s.Token(session().With("ccr:session_id", "").With("sub", "ccr:session:")), verify.WrongClaim},
		{"no iat", prefix + s.Token(session().With("iat", nil)), verify.WrongClaim},
		{"eight hours", prefix + s.Token(session().With("exp", now.Add(8*time.Hour).Unix())), ""},
		{"longer", prefix + s.Token(session().With("exp", now.Add(8*time.Hour+time.Second).Unix())), verify.TooLongLived},
		{"another algorithm", prefix + signers()[verify.EdDSA].Token(session()), verify.WrongAlgorithm},
	} {
		t.Run(tt.name, func(t *testing.T) { wantRefused(t, v, tt.token, tt.want) })
	}
	i := sessionIssuer(t)
	i.Audiences = append(i.Audiences, "anthropic-api")
	if _, err := verify.New(config(i)); err == nil {
		t.Error("an audience of every session is taken for an environment")
	}
	for _, id := range []string{"", "anthropic-api", "ccpool_", "CCPOOL_1", " ccpool_1"} {
		if _, err := verify.ClaudeCode(id); err == nil {
			t.Errorf("%q is taken for the id of an environment", id)
		}
	}
}

// TestIssuers has several issuers: each token is judged by its own, and none by
// another's keys.
func TestIssuers(t *testing.T) {
	a, b, c := verifytest.NewSigner(verify.ES256, "same"), verifytest.NewSigner(verify.ES256, "same"), verifytest.NewSigner(verify.ES256, "same")
	of := func(prefix, name string, s *signer, audiences ...string) verify.Issuer {
		set, err := verify.NewKeySet(jwks(s.JWK()), quiet)
		if err != nil {
			t.Fatal(err)
		}
		return verify.Issuer{Prefix: prefix, Issuer: name, Audiences: audiences, Keys: set}
	}
	small := of("", "a", a, "one")
	small.MaxSize = 1000
	v := newVerifier(t, config(small, of("", "b", b, "one"), of("p-", "a", c, "one", "two"), of("p-q-", "a", a, "one")))
	as := func(iss, aud string) claims { return plain().With("iss", iss).With("aud", aud) }
	for _, tt := range []struct {
		name, token string
		want        verify.Reason
	}{
		{"a", a.Token(as("a", "one")), ""},
		{"b", b.Token(as("b", "one")), ""},
		{"a behind a prefix", "p-" + c.Token(as("a", "one")), ""},
		{"a behind a prefix, for another audience", "p-" + c.Token(as("a", "two")), ""},
		{"a behind a longer prefix", "p-q-" + a.Token(as("a", "one")), ""},
		{"a behind a longer prefix, with the key of the shorter", "p-q-" + c.Token(as("a", "one")), verify.WrongSignature},
		{"b with the key of a", a.Token(as("b", "one")), verify.WrongSignature},
		{"a with the key of b", b.Token(as("a", "one")), verify.WrongSignature},
		{"a, behind the prefix that has another key", "p-" + a.Token(as("a", "one")), verify.WrongSignature},
		{"neither audience", "p-" + c.Token(as("a", "three")), verify.WrongAudience},
		{"neither audience, another key", "p-" + b.Token(as("a", "three")), verify.WrongSignature},
		{"neither issuer", a.Token(as("c", "one")), verify.WrongIssuer},
		{"b behind a prefix", "p-" + b.Token(as("b", "one")), verify.WrongIssuer},
		{"too long for a", a.Token(as("a", "one").With("x", strings.Repeat("x", 800))), verify.Malformed},
		{"and not for b", b.Token(as("b", "one").With("x", strings.Repeat("x", 800))), ""},
	} {
		t.Run(tt.name, func(t *testing.T) { wantRefused(t, v, tt.token, tt.want) })
	}
}

// TestEnvironments has a service for several of them.
func TestEnvironments(t *testing.T) {
	i := sessionIssuer(t)
	i.Audiences = append(i.Audiences, "ccpool_02")
	v := newVerifier(t, config(i))
	s := signers()[verify.ES256]
	in := func(aud []string, pool any) string {
		return prefix + s.Token(session().With("aud", aud).With("ccr:pool_id", pool))
	}
	for _, tt := range []struct {
		name, token string
		want        string // the environment, or "" where it is refused
	}{
		{"the first", in([]string{environment}, environment), environment},
		{"the second", in([]string{"anthropic-api", "ccpool_02"}, "ccpool_02"), "ccpool_02"},
		{"not named but in aud", in([]string{"x", "ccpool_02"}, nil), "ccpool_02"},
		{"both, and one named", in([]string{environment, "ccpool_02"}, "ccpool_02"), "ccpool_02"},
		{"both, and none named", in([]string{"ccpool_02", environment}, nil), "ccpool_02"},
		{"the other is named", in([]string{environment}, "ccpool_02"), ""},
		{"another is named", in([]string{environment}, "ccpool_03"), ""},
		{"an empty one is named", in([]string{environment}, ""), environment},
	} {
		p, err := v.Verify(context.Background(), tt.token)
		if (err == nil) != (tt.want != "") || p != nil && p.Environment != tt.want {
			t.Errorf("%s: %+v, %v; want %q", tt.name, p, err, tt.want)
		}
		if tt.want == "" {
			wantRefused(t, v, tt.token, verify.WrongClaim)
		}
	}
}

func TestNew(t *testing.T) {
	good := plainIssuer(t)
	with := func(change func(*verify.Issuer)) verify.Config {
		i := good
		change(&i)
		return config(i)
	}
	for _, tt := range []struct {
		config verify.Config
		want   string // "" for no error
	}{
		{config(good), ""},
		{config(), "no issuer"},
		{with(func(i *verify.Issuer) { i.Issuer = "" }), "no Issuer"},
		{with(func(i *verify.Issuer) { i.Audiences = nil }), `"` + issuer + `": it has no Audiences`},
		{with(func(i *verify.Issuer) { i.Audiences = []string{"a", ""} }), "empty audience"},
		{with(func(i *verify.Issuer) { i.Keys = nil }), "no Keys"},
		{with(func(i *verify.Issuer) { i.Algorithms = []verify.Algorithm{"HS256"} }), `algorithm "HS256"`},
		{with(func(i *verify.Issuer) { i.Algorithms = []verify.Algorithm{"none"} }), `algorithm "none"`},
		{with(func(i *verify.Issuer) { i.Algorithms = []verify.Algorithm{""} }), `algorithm ""`},
		{with(func(i *verify.Issuer) { i.Claims = map[string]string{"": "x"} }), "no name"},
		{with(func(i *verify.Issuer) { i.Prefix = "a.b" }), "Prefix"},
		{with(func(i *verify.Issuer) { i.Prefix = "a b" }), "Prefix"},
		{with(func(i *verify.Issuer) { i.Leeway = -1 }), ""},
		{with(func(i *verify.Issuer) { i.Leeway = 5 * time.Minute }), ""},
		{with(func(i *verify.Issuer) { i.Leeway = 5*time.Minute + 1 }), "Leeway"},
		{with(func(i *verify.Issuer) { i.MaxLife = -1 }), "MaxLife"},
		{with(func(i *verify.Issuer) { i.MaxSize = -1 }), "MaxSize"},
		{with(func(i *verify.Issuer) { i.MaxSize = 64 << 10 }), ""},
		{with(func(i *verify.Issuer) { i.MaxSize = 64<<10 + 1 }), "MaxSize"},
		{config(good, good), "twice"},
	} {
		_, err := verify.New(tt.config)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// TestIssuerIsCopied changes what New was given.
func TestIssuerIsCopied(t *testing.T) {
	i := plainIssuer(t)
	i.Claims = map[string]string{"role": "worker"}
	i.Algorithms = []verify.Algorithm{verify.EdDSA}
	c := config(i)
	v := newVerifier(t, c)
	c.Issuers[0].Audiences[0], c.Issuers[0].Algorithms[0] = "other", verify.ES256
	i.Claims["role"] = "other"
	wantRefused(t, v, signers()[verify.EdDSA].Token(plain().With("role", "worker")), "")
}

func TestLeeway(t *testing.T) {
	for _, tt := range []struct{ leeway, past time.Duration }{
		{-1, 0}, {0, time.Minute}, {time.Second, time.Second}, {5 * time.Minute, 5 * time.Minute},
	} {
		i := plainIssuer(t)
		i.Leeway = tt.leeway
		exp := now.Add(time.Hour)
		token := signers()[verify.EdDSA].Token(plain().With("exp", exp.Unix()))
		at := exp.Add(tt.past - 1)
		c := config(i)
		c.Now = func() time.Time { return at }
		v := newVerifier(t, c)
		wantRefused(t, v, token, "")
		at = at.Add(1)
		wantRefused(t, v, token, verify.Expired)
	}
}

// TestClock takes the real clock where none is given.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(plainIssuer(t))
		c.Now = nil
		v := newVerifier(t, c)
		token := signers()[verify.EdDSA].Token(plain().With("iat", time.Now().Unix()).With("exp", time.Now().Add(time.Hour).Unix()))
		wantRefused(t, v, token, "")
		time.Sleep(time.Hour + time.Minute)
		wantRefused(t, v, token, verify.Expired)
	})
}

// revocations are what is revoked, by token id.
type revocations struct {
	ids   map[string]bool
	err   error
	asked []string
}

func (r *revocations) Revoked(_ context.Context, p *verify.Principal) (bool, error) {
	r.asked = append(r.asked, p.TokenID)
	return r.ids[p.TokenID], r.err
}

func TestRevocations(t *testing.T) {
	r := &revocations{ids: map[string]bool{}}
	c := config(plainIssuer(t))
	c.Revocations = r
	v := newVerifier(t, c)
	token := signers()[verify.EdDSA].Token(plain())
	wantRefused(t, v, token, "")
	r.ids["1"] = true
	if refusal := wantRefused(t, v, token, verify.Revoked); refusal.Issuer != issuer {
		t.Errorf("issuer %q", refusal.Issuer)
	}
	r.ids["1"] = false
	wantRefused(t, v, token, "")
	r.err = errors.New("the list is stale")
	if refusal := wantRefused(t, v, token, verify.RevocationsUnavailable); !errors.Is(refusal, r.err) {
		t.Errorf("%v does not wrap the reason", refusal)
	}
	if len(r.asked) != 4 {
		t.Errorf("asked %d times for 4 tokens", len(r.asked))
	}
	wantRefused(t, v, signers()[verify.EdDSA].Token(plain().With("exp", 1)), verify.Expired)
	if len(r.asked) != 4 {
		t.Error("asked for a token that is not believed")
	}
}

// TestAtOnce has one verifier used by many goroutines with tokens of many sizes.
func TestAtOnce(t *testing.T) {
	v := newVerifier(t, config(plainIssuer(t)))
	s := signers()[verify.EdDSA]
	done := make(chan error)
	for n := range 16 {
		id := strings.Repeat("x", 1+n*300)
		good := s.Token(plain().With("jti", id))
		bad := s.Sign(s.Header(), plain().With("jti", id+"x").JSON())
		bad = good[:strings.LastIndexByte(good, '.')] + bad[strings.LastIndexByte(bad, '.'):]
		go func() {
			for range 100 {
				if p, err := v.Verify(context.Background(), good); err != nil || p.TokenID != id || !strings.Contains(string(p.Claims()), id) {
					done <- errors.New("a good token is refused, or another's principal returned")
					return
				}
				if _, err := v.Verify(context.Background(), bad); err == nil {
					done <- errors.New("a bad token is believed")
					return
				}
			}
			done <- nil
		}()
	}
	for range 16 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
