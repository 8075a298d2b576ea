package interop

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// draft is a token that is being made, as text, since most of what is tried here no
// library writes.
type draft struct {
	signer          *verifytest.Signer
	header, payload object
	// text is done to the JSON, and token to what has been signed.
	headerText, payloadText, tokenText []func(string) string
}

// object is the members of a JSON object, each as text.
type object []string

func (o object) String() string { return "{" + strings.Join(o, ",") + "}" }

// set puts another value in the place of a member, or adds it.
func (o *object) set(name, value string) {
	o.drop(name)
	o.add(name, value)
}

func (o *object) add(name, value string) { *o = append(*o, fmt.Sprintf("%q:%s", name, value)) }

func (o *object) drop(name string) {
	var kept object
	for _, m := range *o {
		if !strings.HasPrefix(m, fmt.Sprintf("%q:", name)) {
			kept = append(kept, m)
		}
	}
	*o = kept
}

// rename writes a member's name otherwise.
func (o *object) rename(name, as string) {
	for i, m := range *o {
		if rest, ok := strings.CutPrefix(m, fmt.Sprintf("%q:", name)); ok {
			(*o)[i] = `"` + as + `":` + rest
		}
	}
}

// pick returns one of these.
func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// newDraft returns a good token, and most times one or two things that are odd about
// it.
func newDraft(r *rand.Rand, signers map[verify.Algorithm]*verifytest.Signer) *draft {
	// RSA signs slowly.
	algorithm := pick(r, verify.ES256, verify.ES256, verify.ES256, verify.EdDSA, verify.EdDSA, verify.EdDSA, verify.EdDSA)
	if r.IntN(40) == 0 {
		algorithm = verify.RS256
	}
	d := &draft{signer: signers[algorithm]}
	d.header = object{fmt.Sprintf(`"alg":%q`, algorithm), `"typ":"JWT"`, fmt.Sprintf(`"kid":%q`, algorithm)}
	d.payload = object{
		fmt.Sprintf(`"iss":%q`, issuer), fmt.Sprintf(`"aud":%q`, audience), fmt.Sprintf(`"sub":"user-%d"`, r.IntN(1000)),
		fmt.Sprintf(`"iat":%d`, now.Unix()-r.Int64N(600)), fmt.Sprintf(`"exp":%d`, now.Unix()+1+r.Int64N(80000)),
	}
	for range pick(r, 0, 1, 1, 1, 1, 2) {
		pick(r, mutations...)(r, d)
	}
	return d
}

// token signs the draft.
func (d *draft) token(r *rand.Rand) string {
	header, payload := d.header.String(), d.payload.String()
	for _, f := range d.headerText {
		header = f(header)
	}
	for _, f := range d.payloadText {
		payload = f(payload)
	}
	token := d.signer.Sign(header, payload)
	for _, f := range d.tokenText {
		token = f(token)
	}
	return token
}

// date returns one that is not far from now, in one of many ways to write it, or none.
func date(r *rand.Rand) string {
	s := now.Unix() + pick[int64](r, -90000, -3600, -61, -60, -59, -1, 0, 1, 59, 60, 61, 3600, 86399, 86400, 86401, 86460, 86461, 90000, 10000000)
	return pick(r,
		fmt.Sprint(s), fmt.Sprint(s), fmt.Sprint(s),
		fmt.Sprintf("%d.0", s), fmt.Sprintf("%d.5", s), fmt.Sprintf("%d.999999999999", s), fmt.Sprintf("%de0", s), fmt.Sprintf("%.9e", float64(s)),
		fmt.Sprintf("%q", fmt.Sprint(s)), fmt.Sprintf("-%d", s), fmt.Sprintf("[%d]", s), fmt.Sprintf("%d000", s), fmt.Sprintf("0%d", s),
		"0", "-0", "1e400", "9223372036854775807", "9223372036854775808", "18446744073709551616", "253402300799", "253402300800", "true", "null", "{}", `""`)
}

// value is any JSON, or nearly.
func value(r *rand.Rand) string {
	return pick(r, "null", "true", "0", "-1.5e3", `""`, `"x"`, `"\u00e9\ud83d\ude00"`, `"\u00E9"`, `"\uD83D\uDE00"`, `"\\ud800"`, `"\ud800"`, `"a\u0000b"`, "[]", "{}", `[1,[2,{"a":null}]]`,
		`{"a":1,"a":2}`, `{"b":{"c":1}}`, "\"\xff\"", "\"\x01\"", `"\x"`, "01", "nul", "1.", nested(40),
		nested(20), nested(31), nested(32))
}

// nested returns arrays in each other.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// mutations are what can be odd about a token.
var mutations = []func(*rand.Rand, *draft){
	// The header.
	func(r *rand.Rand, d *draft) { d.header.drop(pick(r, "alg", "typ", "kid")) },
	func(r *rand.Rand, d *draft) { d.header.drop("typ") },
	func(r *rand.Rand, d *draft) {
		d.header.set("alg", pick(r, `"none"`, `"None"`, `""`, `"HS256"`, `"PS256"`, `"es256"`, `"RS256"`, `"ES256"`, `"EdDSA"`, `"Ed25519"`, "null", "1", `["ES256"]`))
	},
	func(r *rand.Rand, d *draft) {
		d.header.set("kid", pick(r, `"ES256"`, `"EdDSA"`, `"RS256"`, `""`, `"unknown"`, `"../../etc/passwd"`, "null", "1", `"ES256\u0000"`))
	},
	func(r *rand.Rand, d *draft) {
		d.header.set("typ", pick(r, `"jwt"`, `"application/jwt"`, `"at+jwt"`, `"AT+JWT"`, `"JOSE"`, `"dpop+jwt"`, `"logout+jwt"`, `""`, "null", "1", `["JWT"]`))
	},
	func(r *rand.Rand, d *draft) {
		d.header.add("crit", pick(r, `["exp"]`, `["b64"]`, `[]`, "null", `"exp"`))
	},
	func(r *rand.Rand, d *draft) { d.header.add("b64", pick(r, "true", "false", `"false"`)) },
	func(r *rand.Rand, d *draft) { d.header.add("jwk", d.signer.JWK().JSON()) },
	func(r *rand.Rand, d *draft) {
		d.header.add(pick(r, "jku", "x5u"), pick(r, `"https://attacker.example/"`, "null", "1"))
	},
	func(r *rand.Rand, d *draft) { d.header.add("x5c", pick(r, `["MIIB"]`, `[]`, "null")) },
	func(r *rand.Rand, d *draft) {
		d.header.add(pick(r, "x", "cty", "zip", "enc", "nonce", "url", "x5t", "ALG", "Kid", ""), value(r))
	},
	func(r *rand.Rand, d *draft) {
		d.header.add(pick(r, "alg", "kid", "typ"), pick(r, `"none"`, `"ES256"`, `"EdDSA"`, `"JWT"`))
	},
	func(r *rand.Rand, d *draft) {
		name := pick(r, "alg", "kid", "typ")
		d.header.rename(name, pick(r, strings.ToUpper(name), fmt.Sprintf(`\u%04x`, name[0])+name[1:]))
	},

	// The claims.
	func(r *rand.Rand, d *draft) { d.payload.drop(pick(r, "iss", "aud", "sub", "iat", "exp")) },
	func(r *rand.Rand, d *draft) { d.payload.drop("iat") },
	func(r *rand.Rand, d *draft) { d.payload.set(pick(r, "exp", "exp", "iat", "nbf"), date(r)) },
	func(r *rand.Rand, d *draft) { d.payload.set(pick(r, "exp", "exp", "iat", "nbf"), date(r)) },
	func(r *rand.Rand, d *draft) {
		d.payload.set(pick(r, "exp", "iat", "nbf"), fmt.Sprintf("%d.%d", now.Unix()+pick[int64](r, -61, -60, 60), 1+r.IntN(9)))
	},
	func(r *rand.Rand, d *draft) {
		d.payload.set("iss", pick(r, `"x"`, `""`, "null", "1", `["https://issuer.example"]`, `"https://issuer.example/"`, `"HTTPS://ISSUER.EXAMPLE"`, `"https:\/\/issuer.example"`))
	},
	func(r *rand.Rand, d *draft) {
		d.payload.set("aud", pick(r, `["service"]`, `["x","service"]`, `["x"]`, `[]`, `["service",1]`, `[["service"]]`, `"x service"`, `""`, "null", "1", `{"service":1}`, `"SERVICE"`, `"serv\u0069ce"`, `["service",null]`))
	},
	func(r *rand.Rand, d *draft) {
		d.payload.set(pick(r, "sub", "jti", "ccr:session_id", "ccr:org_id", "ccr:pool_id", "x", ""), value(r))
	},
	func(r *rand.Rand, d *draft) {
		d.payload.set("sub", `"ccr:session:a"`)
		d.payload.set("ccr:session_id", pick(r, `"a"`, `"b"`, `""`))
	},
	func(r *rand.Rand, d *draft) {
		d.payload.set("act", pick(r, `{"sub":"user:1"}`, `{"sub":"user:1","email":null,"act":{"sub":"ccr:runner:1"}}`, `{"sub":1}`, `{"email":1}`, `{"act":1}`, `{"act":{"sub":[]}}`, `"x"`, "[]", value(r)))
	},
	func(r *rand.Rand, d *draft) {
		d.payload.add(pick(r, "iss", "aud", "sub", "iat", "exp", "x"), pick(r, `"x"`, "1", fmt.Sprint(now.Unix()+100)))
	},
	func(r *rand.Rand, d *draft) {
		name := pick(r, "iss", "aud", "sub", "iat", "exp")
		d.payload.rename(name, pick(r, strings.ToUpper(name), strings.ToUpper(name[:1])+name[1:], fmt.Sprintf(`\u%04x`, name[0])+name[1:]))
	},
	func(r *rand.Rand, d *draft) {
		d.payload.add(pick(r, "EXP", "Iss", "AUD", "Sub"), pick(r, "1", `"x"`, "9999999999"))
	},
	func(r *rand.Rand, d *draft) {
		for n := range pick(r, 100, 123, 124, 130, 200) {
			d.payload.add(fmt.Sprint(n), "1")
		}
	},
	func(r *rand.Rand, d *draft) {
		var many object
		for n := range pick(r, 60, 124, 125, 126) {
			many.add(fmt.Sprint(n), "1")
		}
		d.payload.add("many", many.String())
		d.payload.add("more", many.String())
	},
	func(r *rand.Rand, d *draft) {
		d.payload.set("aud", "["+strings.Repeat(`"x",`, pick(r, 100, 127, 128, 200))+`"service"]`)
	},
	func(r *rand.Rand, d *draft) {
		d.payload.add("long", `"`+strings.Repeat("x", pick(r, 100, 5000, 7000))+`"`)
	},

	// The JSON.
	func(r *rand.Rand, d *draft) { d.payloadText = append(d.payloadText, oddText(r)) },
	func(r *rand.Rand, d *draft) { d.headerText = append(d.headerText, oddText(r)) },
	func(r *rand.Rand, d *draft) { d.payloadText = append(d.payloadText, oneByte(r)) },
	func(r *rand.Rand, d *draft) { d.headerText = append(d.headerText, oneByte(r)) },

	// What has been signed.
	func(r *rand.Rand, d *draft) { d.tokenText = append(d.tokenText, oneByte(r)) },
	func(r *rand.Rand, d *draft) { d.tokenText = append(d.tokenText, oneByte(r)) },
	func(r *rand.Rand, d *draft) { d.tokenText = append(d.tokenText, oddToken(r)) },
	func(r *rand.Rand, d *draft) { d.tokenText = append(d.tokenText, oddToken(r)) },
	func(r *rand.Rand, d *draft) { d.tokenText = append(d.tokenText, lastBits(r.IntN(3), byte(r.IntN(64)))) },
}

// oddText does something to a whole JSON text.
func oddText(r *rand.Rand) func(string) string {
	return pick(r,
		func(s string) string { return "\uFEFF" + s },
		func(s string) string { return s + pick(r, "\x00", "{}", "x", ",", "\u00a0", "\f") },
		func(s string) string {
			return pick(r, " ", "\n", "\t\r\n ") + strings.ReplaceAll(s, ",", " ,\n\t") + pick(r, "", " ", "\r\n")
		},
		func(s string) string { return pick(r, "[", `"`, "") + s + pick(r, "]", `"`, "") },
		func(s string) string { return s[:r.IntN(len(s)+1)] },
		func(s string) string { return strings.Replace(s, "}", ",}", 1) },
		func(s string) string { return pick(r, "", "null", "{}", "[]", "1") },
	)
}

// oneByte changes, takes away or puts in one byte.
func oneByte(r *rand.Rand) func(string) string {
	return func(s string) string {
		if s == "" {
			return s
		}
		i := r.IntN(len(s))
		b := pick(r, s[i]^1<<r.IntN(8), pick(r, []byte("AZaz09-_+/=. \n\r\t\"{}[]:,\\\x00\xff")...))
		return pick(r, s[:i]+string([]byte{b})+s[i+1:], s[:i]+s[i+1:], s[:i]+string([]byte{b})+s[i:])
	}
}

// oddToken does something to a signed token.
func oddToken(r *rand.Rand) func(string) string {
	part := func(change func([]string) []string) func(string) string {
		return func(s string) string {
			parts := strings.Split(s, ".")
			if len(parts) != 3 {
				return s
			}
			return strings.Join(change(parts), ".")
		}
	}
	return pick(r,
		func(s string) string {
			return pick(r, " ", "\n", ".", "Bearer ", "") + s + pick(r, " ", "\n", ".", ".AA", "=", "==")
		},
		part(func(p []string) []string { p[r.IntN(3)] += pick(r, "=", "==", "\n", "\r\n", "A", "AAAA"); return p }),
		part(func(p []string) []string { p[2] = ""; return p }),
		part(func(p []string) []string {
			p[0], p[2] = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)), pick(r, "", p[2])
			return p
		}),
		part(func(p []string) []string { p[2] = p[2][:r.IntN(len(p[2])+1)]; return p }),
		part(func(p []string) []string { return p[:2] }),
		part(func(p []string) []string { p[0], p[1] = p[1], p[0]; return p }),
		part(func(p []string) []string {
			p[2] = base64.RawURLEncoding.EncodeToString(make([]byte, pick(r, 64, 64, 256, 1, 65)))
			return p
		}),
		part(func(p []string) []string {
			n := r.IntN(3)
			p[n] = strings.NewReplacer("-", "+", "_", "/").Replace(p[n])
			return p
		}),
		part(func(p []string) []string { p[2] = strings.NewReplacer("-", "+", "_", "/").Replace(p[2]); return p }),
		part(func(p []string) []string { i := r.IntN(len(p[2]) + 1); p[2] = p[2][:i] + "\n" + p[2][i:]; return p }),
	)
}

// lastBits changes the last character of a part, of which not every bit need count.
func lastBits(n int, bits byte) func(string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return func(s string) string {
		parts := strings.Split(s, ".")
		if len(parts) != 3 || parts[n] == "" {
			return s
		}
		last := strings.IndexByte(alphabet, parts[n][len(parts[n])-1])
		if last < 0 {
			return s
		}
		parts[n] = parts[n][:len(parts[n])-1] + string(alphabet[byte(last)&^3|bits&3])
		return strings.Join(parts, ".")
	}
}
