package verify_test

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// TestAttacks has a line for each known attack on verifiers of JWTs, and what they are
// told apart from.
func TestAttacks(t *testing.T) {
	es, ed, rs := signers()[verify.ES256], signers()[verify.EdDSA], signers()[verify.RS256]
	attacker := verifytest.NewSigner(verify.ES256, es.KeyID)
	i := plainIssuer(t)
	i.Prefix = prefix
	v := newVerifier(t, config(i))
	good := plain().JSON()

	// Headers and payloads as text, since no library writes them.
	header := func(h string) string { return prefix + es.Sign(h, good) }
	payload := func(p string) string { return prefix + es.Sign(es.Header(), p) }
	member := func(m string) string { return payload(strings.TrimSuffix(good, "}") + "," + m + "}") }
	without := func(name, m string) string {
		return payload(strings.TrimSuffix(plain().With(name, nil).JSON(), "}") + "," + m + "}")
	}
	unsigned := func(header, signature string) string {
		return prefix + b64([]byte(header)) + "." + b64([]byte(good)) + "." + signature
	}
	// part puts another text in place of one of the three parts.
	part := func(n int, change func(string) string) string {
		parts := strings.Split(es.Token(plain()), ".")
		parts[n] = change(parts[n])
		return prefix + strings.Join(parts, ".")
	}
	with := func(s string) func(string) string { return func(p string) string { return p + s } }
	token := es.Token(plain())

	hs256 := func(secret []byte) string {
		signed := b64([]byte(`{"alg":"HS256","kid":"`+rs.KeyID+`"}`)) + "." + b64([]byte(good))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return prefix + signed + "." + b64(mac.Sum(nil))
	}
	spki, err := x509.MarshalPKIXPublicKey(rs.Key.Public())
	if err != nil {
		t.Fatal(err)
	}

	signed := token[:strings.LastIndexByte(token, '.')]
	sig, err := base64.RawURLEncoding.DecodeString(token[len(signed)+1:])
	if err != nil {
		t.Fatal(err)
	}
	withSignature := func(s []byte) string { return prefix + signed + "." + b64(s) }
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
	if err != nil {
		t.Fatal(err)
	}
	order := elliptic.P256().Params().N
	field := elliptic.P256().Params().P
	ints := func(r, s *big.Int) string {
		return withSignature(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
	zero, one, r, s := new(big.Int), big.NewInt(1), new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
	huge := new(big.Int).Sub(new(big.Int).Lsh(one, 256), one)

	edToken := ed.Token(plain())
	edSigned := edToken[:strings.LastIndexByte(edToken, '.')]
	edSig := ed.Signature(edSigned)
	edWith := func(change func(sig []byte)) string {
		c := bytes.Clone(edSig)
		change(c)
		return prefix + edSigned + "." + b64(c)
	}
	// The same number, S, with the order of the group added (RFC 8032, section 5.1.7).
	malleable := edWith(func(sig []byte) {
		l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
		le := func(b []byte) []byte {
			c := bytes.Clone(b)
			for i := range len(c) / 2 {
				c[i], c[len(c)-1-i] = c[len(c)-1-i], c[i]
			}
			return c
		}
		sum := new(big.Int).Add(new(big.Int).SetBytes(le(sig[32:])), l)
		copy(sig[32:], le(sum.FillBytes(make([]byte, 32))))
	})
	rsToken := rs.Token(plain())
	rsSigned := rsToken[:strings.LastIndexByte(rsToken, '.')]
	rsSig := rs.Signature(rsSigned)
	plusModulus := new(big.Int).Add(new(big.Int).SetBytes(rsSig), rs.Key.Public().(*rsa.PublicKey).N).Bytes()

	attackerJWK := strings.TrimSuffix(string(jwks(attacker.JWK())[len(`{"keys":[`):]), "]}")
	byAttacker := func(h string) string { return prefix + attacker.Sign(h, good) }

	type attack struct {
		name, token string
		want        verify.Reason
	}
	table := []attack{
		{"the token itself", prefix + token, ""},
		{"EdDSA", prefix + edToken, ""},
		{"RS256", prefix + rs.Token(plain()), ""},

		{"HS256 with the public key as secret, DER", hs256(spki), verify.WrongAlgorithm},
		{"HS256 with the public key as secret, PEM", hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})), verify.WrongAlgorithm},
		{"HS256 with the modulus as secret", hs256(rs.Key.Public().(*rsa.PublicKey).N.Bytes()), verify.WrongAlgorithm},
		{"HS256 with no secret", hs256(nil), verify.WrongAlgorithm},
		{"alg missing", header(`{"kid":"ES256"}`), verify.Malformed},
		{"alg null", header(`{"alg":null,"kid":"ES256"}`), verify.Malformed},
		{"alg a number", header(`{"alg":256,"kid":"ES256"}`), verify.Malformed},
		{"alg an array", header(`{"alg":["ES256"],"kid":"ES256"}`), verify.Malformed},
		{"alg in another case", header(`{"alg":"es256","kid":"ES256"}`), verify.WrongAlgorithm},
		{"alg with a space", header(`{"alg":"ES256 ","kid":"ES256"}`), verify.WrongAlgorithm},
		{"ALG", header(`{"ALG":"ES256","kid":"ES256"}`), verify.Malformed},
		{"alg by escapes is the same name", header(`{"\u0061lg":"E\u0053256","kid":"ES256"}`), ""},
		{"PS256", prefix + rs.Sign(`{"alg":"PS256","kid":"RS256"}`, good), verify.WrongAlgorithm},
		{"ES256K", header(`{"alg":"ES256K","kid":"ES256"}`), verify.WrongAlgorithm},
		{"a JWE", prefix + strings.Repeat("e30.", 4) + "e30", verify.Malformed},
		{"a JWS in JSON", prefix + `{"payload":"e30","protected":"e30","signature":"AA"}`, verify.Malformed},

		{"ES256 signature as DER", withSignature(der), verify.WrongSignature},
		{"r zero", ints(zero, s), verify.WrongSignature},
		{"s zero", ints(r, zero), verify.WrongSignature},
		{"both zero (CVE-2022-21449)", ints(zero, zero), verify.WrongSignature},
		{"r is the order", ints(order, s), verify.WrongSignature},
		{"s is the order", ints(r, order), verify.WrongSignature},
		{"r and s the order", ints(order, order), verify.WrongSignature},
		{"r is the field's prime", ints(field, s), verify.WrongSignature},
		{"r at its largest", ints(huge, s), verify.WrongSignature},
		{"s at its largest", ints(r, huge), verify.WrongSignature},
		{"r and s one", ints(one, one), verify.WrongSignature},
		{"r and s exchanged", ints(s, r), verify.WrongSignature},
		{"a byte before", withSignature(append([]byte{0}, sig...)), verify.WrongSignature},
		{"a byte after", withSignature(append(bytes.Clone(sig), 0)), verify.WrongSignature},
		{"a byte less", withSignature(sig[:63]), verify.WrongSignature},
		{"half of it", withSignature(sig[:32]), verify.WrongSignature},
		{"no signature", unsigned(es.Header(), ""), verify.Malformed},
		{"another token's signature", withSignature(es.Signature("x")), verify.WrongSignature},
		{"EdDSA, S plus the order", malleable, verify.WrongSignature},
		{"EdDSA, all zero", edWith(func(s []byte) { clear(s) }), verify.WrongSignature},
		{"EdDSA, R the identity", edWith(func(s []byte) { clear(s); s[0] = 1 }), verify.WrongSignature},
		{"RS256, signature plus the modulus", prefix + rsSigned + "." + b64(plusModulus), verify.WrongSignature},
		{"RS256, a zero before", prefix + rsSigned + "." + b64(append([]byte{0}, rsSig...)), verify.WrongSignature},

		{"embedded jwk", byAttacker(`{"alg":"ES256","kid":"ES256","jwk":` + attackerJWK + `}`), verify.WrongKey},
		{"embedded jwk, and no kid", byAttacker(`{"alg":"ES256","jwk":` + attackerJWK + `}`), verify.WrongKey},
		{"embedded jwk beside a good signature", header(`{"alg":"ES256","kid":"ES256","jwk":` + attackerJWK + `}`), verify.WrongKey},
		{"jku", byAttacker(`{"alg":"ES256","kid":"ES256","jku":"https://attacker.example/jwks.json"}`), verify.WrongKey},
		{"x5u", byAttacker(`{"alg":"ES256","kid":"ES256","x5u":"https://attacker.example/x.pem"}`), verify.WrongKey},
		{"x5c", byAttacker(`{"alg":"ES256","kid":"ES256","x5c":["MIIB"]}`), verify.WrongKey},
		{"x5t is but a name", header(`{"alg":"ES256","kid":"ES256","x5t":"AA","x5t#S256":"AA"}`), ""},
		{"another's key of the same kid", byAttacker(`{"alg":"ES256","kid":"ES256"}`), verify.WrongSignature},
		{"crit", header(`{"alg":"ES256","kid":"ES256","crit":["exp"],"exp":1}`), verify.Malformed},
		{"crit, empty", header(`{"alg":"ES256","kid":"ES256","crit":[]}`), verify.Malformed},
		{"b64 false", header(`{"alg":"ES256","kid":"ES256","b64":false}`), verify.Malformed},
		{"b64 false and crit", header(`{"alg":"ES256","kid":"ES256","b64":false,"crit":["b64"]}`), verify.Malformed},

		{"no kid, and several keys", header(`{"alg":"ES256"}`), verify.WrongKey},
		{"kid empty", header(`{"alg":"ES256","kid":""}`), verify.WrongKey},
		{"kid null", header(`{"alg":"ES256","kid":null}`), verify.Malformed},
		{"kid a number", header(`{"alg":"ES256","kid":1}`), verify.Malformed},
		{"kid an array", header(`{"alg":"ES256","kid":["ES256"]}`), verify.Malformed},
		{"kid as path", header(`{"alg":"ES256","kid":"../../../../dev/null"}`), verify.WrongKey},
		{"kid as URL", header(`{"alg":"ES256","kid":"https://attacker.example/"}`), verify.WrongKey},
		{"kid as SQL", header(`{"alg":"ES256","kid":"x' UNION SELECT 'key'; --"}`), verify.WrongKey},
		{"kid as command", header(`{"alg":"ES256","kid":"$(id)|id"}`), verify.WrongKey},
		{"kid in another case", header(`{"alg":"ES256","kid":"es256"}`), verify.WrongKey},
		{"kid with a NUL", header(`{"alg":"ES256","kid":"ES256\u0000"}`), verify.Malformed},
		{"kid with a line break", header(`{"alg":"ES256","kid":"ES256\n"}`), verify.WrongKey},
		{"another key's kid", header(`{"alg":"ES256","kid":"EdDSA"}`), verify.WrongAlgorithm},

		{"alg twice", header(`{"alg":"ES256","kid":"ES256","alg":"ES256"}`), verify.Malformed},
		{"alg twice, one by escapes", header(`{"alg":"none","kid":"ES256","al\u0067":"ES256"}`), verify.Malformed},
		{"kid twice", header(`{"alg":"ES256","kid":"x","kid":"ES256"}`), verify.Malformed},
		{"an unknown member twice", header(`{"alg":"ES256","kid":"ES256","x":1,"x":1}`), verify.Malformed},
		{"exp twice", member(`"exp":9999999999`), verify.Malformed},
		{"iss twice", member(`"iss":"https://attacker.example"`), verify.Malformed},
		{"aud twice, one by escapes", member(`"\u0061ud":"x"`), verify.Malformed},
		{"twice in an object in an array", member(`"x":[{"a":1,"a":2}]`), verify.Malformed},
		{"in two cases is not twice", member(`"EXP":1,"Exp":1`), ""},
		{"the same name in two objects is not twice", member(`"x":{"exp":1},"y":[{"exp":1},{"exp":1}]`), ""},

		{"deep enough", member(`"x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31)), ""},
		{"arrays too deep", member(`"x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32)), verify.Malformed},
		{"objects too deep", member(`"x":` + strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32)), verify.Malformed},
		{"very deep", member(`"x":` + strings.Repeat("[", 2500) + strings.Repeat("]", 2500)), verify.Malformed},
		{"very deep, and not closed", payload(`{"x":` + strings.Repeat(`{"a":`, 900)), verify.Malformed},
		{"very deep header", header(strings.Repeat(`{"alg":`, 500)), verify.Malformed},
		{"128 members", payload(manyMembers(good, 128)), ""},
		{"129 members", payload(manyMembers(good, 129)), verify.Malformed},
		{"256 members in all", member(`"x":[` + object(125) + "," + object(124) + "]"), ""},
		{"257 members in all", member(`"x":[` + object(125) + "," + object(125) + "]"), verify.Malformed},
		{"128 audiences", without("aud", `"aud":[`+strings.Repeat(`"x",`, 127)+`"service"]`), ""},
		{"129 audiences", without("aud", `"aud":[`+strings.Repeat(`"x",`, 128)+`"service"]`), verify.WrongAudience},

		{"a huge number beside", member(`"x":1` + strings.Repeat("0", 3000) + `,"y":-1e+99999`), ""},
		{"exp huge", without("exp", `"exp":1`+strings.Repeat("0", 3000)), verify.WrongClaim},
		{"exp 2^63", without("exp", `"exp":9223372036854775808`), verify.WrongClaim},
		{"exp 2^63-1", without("exp", `"exp":9223372036854775807`), verify.WrongClaim},
		{"exp 2^64 and an hour, which wraps", without("exp", `"exp":18446744075504953216`), verify.WrongClaim},
		{"exp after the year 9999", without("exp", `"exp":253402300800`), verify.WrongClaim},
		{"exp in the year 9999", without("exp", `"exp":253402300799`), verify.TooLongLived},
		{"exp a string", without("exp", `"exp":"1795525200"`), verify.WrongClaim},
		{"exp a fraction", without("exp", fmt.Sprintf(`"exp":%d.5`, now.Unix()+60)), ""},
		{"exp a long fraction", without("exp", fmt.Sprintf(`"exp":%d.%s`, now.Unix()+60, strings.Repeat("9", 3000))), ""},
		{"exp with an exponent", without("exp", `"exp":1.7955252e9`), verify.WrongClaim},
		{"exp 1e400", without("exp", `"exp":1e400`), verify.WrongClaim},
		{"exp negative", without("exp", `"exp":-1`), verify.WrongClaim},
		{"exp minus zero", without("exp", `"exp":-0`), verify.WrongClaim},
		{"exp true", without("exp", `"exp":true`), verify.WrongClaim},
		{"exp an array", without("exp", `"exp":[1795525200]`), verify.WrongClaim},
		{"exp missing", payload(plain().With("exp", nil).JSON()), verify.WrongClaim},
		{"exp NaN", without("exp", `"exp":NaN`), verify.Malformed},
		{"exp in hexadecimal", without("exp", `"exp":0x6B05A2D0`), verify.Malformed},
		{"exp with a zero before", without("exp", `"exp":01795525200`), verify.Malformed},
		{"exp with a plus", without("exp", `"exp":+1795525200`), verify.Malformed},
		{"exp in milliseconds", without("exp", fmt.Sprintf(`"exp":%d`, now.UnixMilli()+60000)), verify.WrongClaim},

		{"aud a string", without("aud", `"aud":"service"`), ""},
		{"aud an array", without("aud", `"aud":["x","service"]`), ""},
		{"aud a list in a string", without("aud", `"aud":"x service"`), verify.WrongAudience},
		{"aud with a space", without("aud", `"aud":"service "`), verify.WrongAudience},
		{"aud longer", without("aud", `"aud":"service.attacker"`), verify.WrongAudience},
		{"aud with a NUL", without("aud", `"aud":"service\u0000"`), verify.Malformed},

		{"BOM before the header", header("\uFEFF" + es.Header()), verify.Malformed},
		{"BOM before the payload", payload("\uFEFF" + good), verify.Malformed},
		{"BOM before the token", "\uFEFF" + prefix + token, verify.WrongPrefix},
		{"UTF-16", payload("{\x00\"\x00a\x00\"\x00:\x001\x00}\x00"), verify.Malformed},
		{"invalid UTF-8 in a value", member("\"x\":\"\xff\""), verify.Malformed},
		{"invalid UTF-8 in a name", member("\"\xc0\xae\":1"), verify.Malformed},
		{"a surrogate in UTF-8", member("\"x\":\"\xed\xa0\x80\""), verify.Malformed},
		{"a lone surrogate by escape", member(`"x":"\ud800"`), verify.Malformed},
		{"a surrogate before no other", member(`"x":"\ud800\u0041"`), verify.Malformed},
		{"surrogates exchanged", member(`"x":"\ude00\ud83d"`), verify.Malformed},
		{"surrogates", member(`"x":"\ud83d\ude00"`), ""},
		{"invalid UTF-8 in the header", header("{\"alg\":\"ES256\",\"kid\":\"ES256\",\"x\":\"\xff\"}"), verify.Malformed},
		{"NUL in a value", member("\"x\":\"\x00\""), verify.Malformed},
		{"NUL by escape", member(`"x":"\u0000"`), verify.Malformed},
		{"NUL after the payload", payload(good + "\x00"), verify.Malformed},
		{"NUL before the token", "\x00" + prefix + token, verify.WrongPrefix},
		{"NUL after the token", prefix + token + "\x00", verify.Malformed},
		{"NUL in the token", part(1, with("\x00")), verify.Malformed},
		{"a control character in a value", member("\"x\":\"\x1f\""), verify.Malformed},
		{"a line break in a value", member("\"x\":\"\n\""), verify.Malformed},
		{"an unknown escape", member(`"x":"\x41"`), verify.Malformed},
		{"a comment", member(`"x":1/**/`), verify.Malformed},
		{"a comma too many", payload(strings.TrimSuffix(good, "}") + ",}"), verify.Malformed},
		{"something after the payload", payload(good + "{}"), verify.Malformed},
		{"white space in the payload", payload(" \t\r\n" + strings.ReplaceAll(good, ",", " ,\n") + " \r\n"), ""},
		{"another space in the payload", payload("\u00a0" + good), verify.Malformed},
		{"a form feed in the payload", payload("\f" + good), verify.Malformed},
		{"the payload an array", payload("[" + good + "]"), verify.Malformed},
		{"the payload a string", payload(`"x"`), verify.Malformed},
		{"the payload null", payload("null"), verify.Malformed},
		{"the payload empty", payload(""), verify.Malformed},
		{"the payload an empty object", payload("{}"), verify.WrongIssuer},
		{"the header empty", header(""), verify.Malformed},
		{"the header null", header("null"), verify.Malformed},
		{"the header an array", header(`["ES256"]`), verify.Malformed},
		{"not the whole payload", payload(good[:len(good)-1]), verify.Malformed},

		{"typ of another kind", header(`{"alg":"ES256","kid":"ES256","typ":"dpop+jwt"}`), verify.Malformed},
		{"typ of a logout", header(`{"alg":"ES256","kid":"ES256","typ":"logout+jwt"}`), verify.Malformed},
		{"typ empty", header(`{"alg":"ES256","kid":"ES256","typ":""}`), verify.Malformed},
		{"typ a number", header(`{"alg":"ES256","kid":"ES256","typ":1}`), verify.Malformed},
		{"no typ", header(`{"alg":"ES256","kid":"ES256"}`), ""},
		{"typ as a media type", header(`{"alg":"ES256","kid":"ES256","typ":"Application/jwt"}`), ""},
		{"typ of an access token", header(`{"alg":"ES256","kid":"ES256","typ":"at+jwt"}`), ""},

		{"white space before", " " + prefix + token, verify.WrongPrefix},
		{"white space after", prefix + token + " ", verify.Malformed},
		{"a line break after", prefix + token + "\n", verify.Malformed},
		{"white space behind the prefix", prefix + " " + token, verify.Malformed},
		{"a line break in the header", part(0, with("\n")), verify.Malformed},
		{"a line break in the payload", part(1, with("\r\n")), verify.Malformed},
		{"a line break in the signature", part(2, func(s string) string { return s[:10] + "\n" + s[10:] }), verify.Malformed},
		{"a tab in the payload", part(1, with("\t")), verify.Malformed},
		{"Bearer before", "Bearer " + prefix + token, verify.WrongPrefix},
		{"a dot before", prefix + "." + token, verify.Malformed},
		{"a dot after", prefix + token + ".", verify.Malformed},
		{"a part after", prefix + token + ".AA", verify.Malformed},
		{"two dots in the middle", prefix + strings.Replace(token, ".", "..", 1), verify.Malformed},
		{"two parts", prefix + signed, verify.Malformed},
		{"two parts and a dot", prefix + signed + ".", verify.Malformed},
		{"one part", prefix + strings.ReplaceAll(token, ".", ""), verify.Malformed},
		{"dots alone", prefix + "..", verify.Malformed},
		{"many dots", prefix + strings.Repeat(".", 8000), verify.Malformed},
		{"nothing", "", verify.WrongPrefix},
		{"the prefix alone", prefix, verify.Malformed},

		{"padding of the header", part(0, with("=")), verify.Malformed},
		{"padding of the payload", part(1, with("==")), verify.Malformed},
		{"padding of the signature", part(2, with("==")), verify.Malformed},
		{"unused bits set in the signature", part(2, lastBits), verify.Malformed},
		{"the other alphabet", part(2, func(s string) string { return "+/" + s[2:] }), verify.Malformed},
		{"a character of neither", part(2, func(s string) string { return "!" + s[1:] }), verify.Malformed},
		{"percent-encoded", part(2, func(s string) string { return "%41" + s[1:] }), verify.Malformed},
		{"a part of impossible length", part(2, with("AAA")), verify.Malformed},

		{"the prefix twice", prefix + prefix + token, verify.Malformed},
		{"the prefix in another case", strings.ToUpper(prefix) + token, verify.WrongPrefix},
		{"part of the prefix", prefix[1:] + token, verify.WrongPrefix},
		{"no prefix", token, verify.WrongPrefix},
		{"another prefix", "sk-ant-si-" + token, verify.WrongPrefix},
		{"the prefix and another", prefix + "sk-ant-si-" + token, verify.Malformed},

		{"8 KiB and no more", sized(es, 8<<10), ""},
		{"8 KiB and a byte", sized(es, 8<<10+1), verify.Malformed},
		{"8 KiB of A", prefix + strings.Repeat("A", 8<<10-len(prefix)), verify.Malformed},
	}
	nones := []string{"none ", " none", "n\\u006fne", "\u0274one", "", "null", "HS256", "HS384", "HS512", "RS1"}
	for cases := range 1 << len("none") {
		word := []byte("none")
		for i := range word {
			word[i] -= byte(cases>>i&1) * ('a' - 'A')
		}
		nones = append(nones, string(word))
	}
	for _, none := range nones {
		h := fmt.Sprintf(`{"alg":"%s","kid":"ES256"}`, none)
		table = append(table,
			attack{fmt.Sprintf("alg %q, no signature", none), unsigned(h, ""), verify.Malformed},
			attack{fmt.Sprintf("alg %q, a signature", none), unsigned(h, "AA"), verify.WrongAlgorithm},
			attack{fmt.Sprintf("alg %q, a good signature", none), header(h), verify.WrongAlgorithm})
	}
	names := map[string]bool{}
	for _, a := range table {
		if names[a.name] {
			t.Errorf("%q stands in the table twice", a.name)
		}
		names[a.name] = true
		t.Run(a.name, func(t *testing.T) { wantRefused(t, v, a.token, a.want) })
	}
}

// manyMembers returns the claims with others, n in all.
func manyMembers(claims string, n int) string {
	return strings.TrimSuffix(claims, "}") + "," + object(n - len(plain()))[1:]
}

// object returns an object of n members.
func object(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"%d":1`, i))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// lastBits sets the lowest bit of the last character of base64url, which carries none
// of the 64 bytes of a signature.
func lastBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + alphabet[last|1:last|1+1]
}

// sized returns a good token of this length. Base64 has no text of every fourth length,
// so the header's differs, too.
func sized(s *signer, n int) string {
	for _, x := range []string{"", "x", "xx"} {
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"x":%q}`, s.Algorithm, s.KeyID, x)
		pad := func(n int) string { return plain().With("x", strings.Repeat("x", n)).JSON() }
		without := len(prefix) + len(s.Sign(header, pad(0)))
		for more := (n-without)*3/4 - 3; more < n-without; more++ {
			if token := prefix + s.Sign(header, pad(more)); len(token) >= n {
				if len(token) == n {
					return token
				}
				break
			}
		}
	}
	panic("no such length")
}

// TestHugeTokens gives more than any machine should read. Nothing is read of it.
func TestHugeTokens(t *testing.T) {
	i := plainIssuer(t)
	i.Prefix = prefix
	v := newVerifier(t, config(i))
	for _, size := range []int64{1 << 20, 8 << 30} {
		token, free := sparse(t, prefix, size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := v.Verify(context.Background(), token)
		runtime.ReadMemStats(&after)
		checkRefusal(t, p, err, "", verify.Malformed)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
			t.Errorf("%d bytes were allocated for a token of %d", n, size)
		}
		free()
	}
}

// TestSignatureLengths gives each algorithm signatures of every length.
func TestSignatureLengths(t *testing.T) {
	v := newVerifier(t, config(plainIssuer(t)))
	for _, s := range signers() {
		token := s.Token(plain())
		signed := token[:strings.LastIndexByte(token, '.')]
		for n := 1; n < 600; n++ {
			wantRefused(t, v, signed+"."+b64(make([]byte, n)), verify.WrongSignature)
		}
	}
}
