package verify_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// TestKeys gives one key that is not as it should be, beside a good one, and what is
// said of it. The good one is used, and the other is not.
func TestKeys(t *testing.T) {
	es, ed, rs := signers()[verify.ES256], signers()[verify.EdDSA], signers()[verify.RS256]
	other := verifytest.NewSigner(verify.EdDSA, "good")
	long := new(big.Int).Lsh(big.NewInt(1), 8192)
	for _, tt := range []struct {
		name   string
		of     *signer
		change claims
		want   string // what is logged; "" if the key is used; "error: " where the set is refused
	}{
		{"no use, key_ops and alg", es, claims{"use": nil, "alg": nil}, ""},
		{"key_ops", ed, claims{"use": nil, "key_ops": []string{"sign", "verify"}}, ""},
		{"null is not there", rs, claims{"use": (*int)(nil), "key_ops": (*int)(nil), "alg": (*int)(nil)}, ""},
		{"unknown members", es, claims{"x": es.JWK()["x"], "exp": 1, "x5t": "AA", "x5c": []string{"AA"}}, ""},
		{"a zero before the modulus", rs, claims{"n": b64(append([]byte{0}, rsModulus(rs)...))}, ""},

		{"use enc", es, claims{"use": "enc"}, `"use" is not "sig"`},
		{"use in another case", es, claims{"use": "SIG"}, `"use" is not "sig"`},
		{"use an array", es, claims{"use": []string{"sig"}}, `"use" is not "sig"`},
		{"key_ops without verify", ed, claims{"key_ops": []string{"sign"}}, `"key_ops" has no "verify"`},
		{"key_ops empty", ed, claims{"key_ops": []string{}}, `"key_ops" has no "verify"`},
		{"key_ops a string", ed, claims{"key_ops": "verify"}, `"key_ops" has no "verify"`},
		{"alg of another type", es, claims{"alg": "EdDSA"}, `"alg" is not "ES256"`},
		{"alg PS256", rs, claims{"alg": "PS256"}, `"alg" is not "RS256"`},
		{"alg RS512", rs, claims{"alg": "RS512"}, `"alg" is not "RS256"`},
		{"alg none", ed, claims{"alg": "none"}, `"alg" is not "EdDSA"`},
		{"alg a number", ed, claims{"alg": 1}, `"alg" is not "EdDSA"`},
		{"kty unknown", es, claims{"kty": "AKP"}, "neither of P-256, nor of Ed25519, nor of RSA"},
		{"kty missing", es, claims{"kty": nil}, "neither"},
		{"kty in another case", es, claims{"kty": "ec"}, "neither"},
		{"P-384", es, claims{"crv": "P-384", "alg": nil}, "neither"},
		{"secp256k1", es, claims{"crv": "secp256k1", "alg": nil}, "neither"},
		{"X25519", ed, claims{"crv": "X25519"}, "neither"},
		{"Ed448", ed, claims{"crv": "Ed448"}, "neither"},
		{"the curve of another type", ed, claims{"kty": "EC"}, "neither"},
		{"Ed25519, the point that signs for all", ed, claims{"x": b64(append([]byte{1}, make([]byte, 31)...))}, "not a point of Ed25519"},
		{"not a point", es, claims{"y": es.JWK()["x"]}, "not a point of P-256"},
		{"the point at zero", es, claims{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}, "not a point of P-256"},
		{"a coordinate of 31 bytes", es, claims{"x": b64(make([]byte, 31))}, "not 32 bytes"},
		{"a coordinate of 33 bytes", es, claims{"x": b64(make([]byte, 33))}, "not 32 bytes"},
		{"no coordinate", es, claims{"y": nil}, `"y" is missing`},
		{"a coordinate that is a number", es, claims{"y": 1}, `"y" is missing`},
		{"padding", es, claims{"x": es.JWK()["x"].(string) + "="}, `"x" is missing, or not base64url`},
		{"a line break", es, claims{"x": es.JWK()["x"].(string) + "\n"}, `"x" is missing, or not base64url`},
		{"Ed25519 of 31 bytes", ed, claims{"x": b64(make([]byte, 31))}, "not 32 bytes"},
		{"RSA of 2047 bits", rs, claims{"n": b64(new(big.Int).Rsh(new(big.Int).SetBytes(rsModulus(rs)), 1).Bytes())}, "2047 bits"},
		{"RSA of 1024 bits", rs, claims{"n": b64(rsModulus(rs)[:128])}, "1024 bits"},
		{"RSA of 8193 bits", rs, claims{"n": b64(new(big.Int).Add(long, big.NewInt(1)).Bytes())}, "8193 bits"},
		{"an even modulus", rs, claims{"n": b64(append(rsModulus(rs)[:255:255], 2))}, "modulus is even"},
		{"exponent 1", rs, claims{"e": "AQ"}, "exponent"},
		{"exponent even", rs, claims{"e": b64([]byte{1, 0, 0})}, "exponent"},
		{"exponent of 32 bits", rs, claims{"e": b64([]byte{255, 255, 255, 255})}, "exponent"},
		{"exponent of 65 bits", rs, claims{"e": b64([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})}, "exponent"},
		{"no exponent", rs, claims{"e": nil}, `"e" is missing`},
		{"kid a number", es, claims{"kid": 1}, `"kid" is not a string`},
		{"the kid of another", es, claims{"kid": "twin"}, "not the only one with this id"},

		{"a private member that is null", es, claims{"d": (*string)(nil)}, ""},
		{"a private key", es, claims{"d": "AA"}, `error: the key with "kid" "ES256": it is private`},
		{"a private RSA key", rs, claims{"p": "AA"}, `error: the key with "kid" "RS256": it is private`},
		{"a private key of an unknown type", es, claims{"kty": "AKP", "priv": "AA"}, "error: "},
		{"a private key without an id", es, claims{"d": "AA", "kid": nil}, `error: key 2 of the key set, which has no "kid",: it is private`},
		{"a private key with a number for an id", es, claims{"d": "AA", "kid": 1}, "error: key 2"},
		{"a symmetric key", es, claims{"kty": "oct", "k": "AA"}, `error: the key with "kid" "ES256": it is private or symmetric`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log logBuffer
			twin := verifytest.NewSigner(verify.EdDSA, "twin")
			set, err := verify.NewKeySet(jwks(other.JWK(), tt.of.JWK(tt.change), twin.JWK()), log.logger())
			lines := log.take()
			if want, ok := strings.CutPrefix(tt.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			i := plainIssuer(t)
			i.Keys = set
			v := newVerifier(t, config(i))
			wantRefused(t, v, other.Token(plain()), "")
			switch {
			case tt.want == "":
				wantLines(t, lines)
				wantRefused(t, v, tt.of.Token(plain()), "")
			case tt.change["kid"] == "twin": // neither is used
				wantLines(t, lines, tt.want)
				for _, s := range []*signer{tt.of, twin} {
					wantRefused(t, v, s.Sign(fmt.Sprintf(`{"alg":%q,"kid":"twin"}`, s.Algorithm), plain().JSON()), verify.WrongKey)
				}
			default:
				wantLines(t, lines, tt.want)
				wantRefused(t, v, tt.of.Token(plain()), verify.WrongKey)
			}
			for _, line := range lines {
				if !strings.Contains(line, "level=WARN") || strings.Contains(line, "\\n\\n") {
					t.Errorf("logged: %s", line)
				}
			}
		})
	}
}

func rsModulus(s *signer) []byte {
	n, err := base64.RawURLEncoding.DecodeString(s.JWK()["n"].(string))
	if err != nil {
		panic(err)
	}
	return n
}

func TestKeySets(t *testing.T) {
	ed := signers()[verify.EdDSA]
	key := string(jwks(ed.JWK()))
	var many []claims
	for n := range 257 {
		many = append(many, ed.JWK(claims{"kid": fmt.Sprint(n)}))
	}
	for _, tt := range []struct{ name, jwks, want string }{
		{"one key", key, ""},
		{"other members", `{"x":1,"keys":` + key[len(`{"keys":`):], ""},
		{"white space", " \n" + key + "\n", ""},
		{"256 keys", string(jwks(many[:256]...)), ""},
		{"257 keys", string(jwks(many...)), "more than 256 keys"},
		{"longer than 1 MiB", key + strings.Repeat(" ", 1<<20), "longer than 1048576 bytes"},
		{"nothing", "", "not strict JSON"},
		{"half a set", key[:len(key)-1], "not strict JSON"},
		{"a BOM", "\uFEFF" + key, "not strict JSON"},
		{"more than a set", key + "{}", "not strict JSON"},
		{"a member twice", `{"keys":[],` + key[1:], "not strict JSON"},
		{"a key's member twice", strings.Replace(key, `"kid"`, `"use":"enc","kid"`, 1), "not strict JSON"},
		{"an array", "[" + key + "]", "not strict JSON"},
		{"a key alone", key[len(`{"keys":[`) : len(key)-2], `no array "keys"`},
		{"keys an object", `{"keys":{}}`, `no array "keys"`},
		{"keys null", `{"keys":null}`, `no array "keys"`},
		{"no keys", `{"keys":[]}`, "no key that is of use"},
		{"a key that is no object", `{"keys":[1]}`, "no key that is of use"},
		{"no key of use", string(jwks(ed.JWK(claims{"use": "enc"}))), "no key that is of use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := verify.NewKeySet([]byte(tt.jwks), quiet)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestKeysWithoutID has sets in which not every key has a "kid".
func TestKeysWithoutID(t *testing.T) {
	a, b := verifytest.NewSigner(verify.EdDSA, "a"), verifytest.NewSigner(verify.ES256, "b")
	nameless := claims{"kid": nil}
	verifier := func(keys ...claims) *verify.Verifier {
		set, err := verify.NewKeySet(jwks(keys...), quiet)
		if err != nil {
			t.Fatal(err)
		}
		i := plainIssuer(t)
		i.Keys = set
		return newVerifier(t, config(i))
	}
	without := func(s *signer) string { return s.Sign(fmt.Sprintf(`{"alg":%q}`, s.Algorithm), plain().JSON()) }
	for _, tt := range []struct {
		name  string
		v     *verify.Verifier
		token string
		want  verify.Reason
	}{
		{"a key alone, no id", verifier(a.JWK()), without(a), ""},
		{"a key alone, its id", verifier(a.JWK()), a.Token(plain()), ""},
		{"a nameless key alone, no id", verifier(a.JWK(nameless)), without(a), ""},
		{"a nameless key alone, an id", verifier(a.JWK(nameless)), a.Token(plain()), verify.WrongKey},
		{"a nameless key alone, an empty id", verifier(a.JWK(nameless)), a.Sign(`{"alg":"EdDSA","kid":""}`, plain().JSON()), verify.WrongKey},
		{"a key alone, another's algorithm", verifier(a.JWK()), without(b), verify.WrongAlgorithm},
		{"two keys, no id", verifier(a.JWK(), b.JWK()), without(a), verify.WrongKey},
		{"a nameless and another, no id", verifier(a.JWK(nameless), b.JWK()), without(a), verify.WrongKey},
		{"a nameless and another, the other's id", verifier(a.JWK(nameless), b.JWK()), b.Token(plain()), ""},
		{"an empty id is one", verifier(a.JWK(claims{"kid": ""}), b.JWK()), a.Sign(`{"alg":"EdDSA","kid":""}`, plain().JSON()), ""},
	} {
		t.Run(tt.name, func(t *testing.T) { wantRefused(t, tt.v, tt.token, tt.want) })
	}
}

// keyFile is a file of keys, and a verifier that follows it.
type keyFile struct {
	t    *testing.T
	path string
	log  logBuffer
	set  verify.KeySet
	v    *verify.Verifier
}

func newKeyFile(t *testing.T, jwks []byte) *keyFile {
	t.Helper()
	f := &keyFile{t: t, path: filepath.Join(t.TempDir(), "jwks.json")}
	f.write(jwks)
	var err error
	if f.set, err = verify.NewFileKeySet(f.path, f.log.logger()); err != nil {
		t.Fatal(err)
	}
	i := plainIssuer(t)
	i.Keys = f.set
	f.v = newVerifier(t, config(i))
	return f
}

func (f *keyFile) write(text []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path, text, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// rename puts a new file in the place of the old one.
func (f *keyFile) rename(text []byte) {
	f.t.Helper()
	if err := errors.Join(os.WriteFile(f.path+".new", text, 0o600), os.Rename(f.path+".new", f.path)); err != nil {
		f.t.Fatal(err)
	}
}

// settle has the file looked at, and again when what is there has stood.
func (f *keyFile) settle() {
	for _, wait := range []time.Duration{time.Second, 20 * time.Millisecond} {
		time.Sleep(wait)
		f.v.Verify(context.Background(), signers()[verify.EdDSA].Token(plain()))
	}
}

func TestKeyFileIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := verifytest.NewSigner(verify.EdDSA, "a"), verifytest.NewSigner(verify.EdDSA, "b"), verifytest.NewSigner(verify.EdDSA, "b")
		f := newKeyFile(t, jwks(a.JWK()))
		wantRefused(t, f.v, a.Token(plain()), "")
		wantRefused(t, f.v, b.Token(plain()), verify.WrongKey)

		// A new key is there at once, for who asks for it.
		f.rename(jwks(a.JWK(), b.JWK()))
		time.Sleep(100 * time.Millisecond)
		wantRefused(t, f.v, b.Token(plain()), "")

		// A key that goes is gone in a second.
		f.rename(jwks(b.JWK()))
		time.Sleep(time.Second)
		wantRefused(t, f.v, a.Token(plain()), verify.WrongKey)
		wantRefused(t, f.v, b.Token(plain()), "")

		// The same id, another key.
		f.rename(jwks(c.JWK()))
		time.Sleep(time.Second)
		wantRefused(t, f.v, b.Token(plain()), verify.WrongSignature)
		wantRefused(t, f.v, c.Token(plain()), "")
		synctest.Wait() // for the log
		wantLines(t, f.log.take())
	})
}

// TestKeyFileRenamedTwice renames twice between looks, which on many file systems gives the
// second file the number of the one that was looked at.
func TestKeyFileRenamedTwice(t *testing.T) {
	steady := newSigner("steady")
	f := newKeyFile(t, jwks(steady.JWK()))
	if readfile.BirthTime(f.path).IsZero() {
		t.Skip("needs a file system that tells birth times")
	}
	const tick = 20 * time.Millisecond // of the file system's clock, and more
	for n := range 10 {
		f.rename(jwks(steady.JWK(), newSigner("between").JWK()))
		time.Sleep(tick)
		s := newSigner(fmt.Sprint(n))
		f.rename(jwks(steady.JWK(), s.JWK()))
		time.Sleep(100 * time.Millisecond)
		wantRefused(t, f.v, s.Token(plain()), "")
	}
}

// TestKeyFileInPlace writes the file where it is: it must stand for 20 ms, and until
// then its last keys do.
func TestKeyFileInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := verifytest.NewSigner(verify.EdDSA, "a"), verifytest.NewSigner(verify.EdDSA, "b")
		f := newKeyFile(t, jwks(a.JWK()))
		whole := jwks(b.JWK())
		time.Sleep(time.Hour) // nobody asked for long
		for _, text := range [][]byte{nil, whole[:10], jwks(), whole} {
			f.write(text)
			for range 3 {
				wantRefused(t, f.v, a.Token(plain()), "")
				refusal := wantRefused(t, f.v, b.Token(plain()), verify.KeysUnavailable)
				if !strings.Contains(refusal.Error(), "it is being written") {
					t.Errorf("%v", refusal)
				}
				time.Sleep(5 * time.Millisecond)
			}
			time.Sleep(5 * time.Millisecond)
		}
		wantRefused(t, f.v, b.Token(plain()), "")
		wantRefused(t, f.v, a.Token(plain()), verify.WrongKey)
		synctest.Wait() // for the log
		wantLines(t, f.log.take())
	})
}

// TestKeyFileIsNeverDone has a file that is another at each look, and never stands.
func TestKeyFileIsNeverDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := verifytest.NewSigner(verify.EdDSA, "a"), verifytest.NewSigner(verify.EdDSA, "b")
		f := newKeyFile(t, jwks(a.JWK()))
		write := func(n int) { f.write(append(jwks(b.JWK()), make([]byte, n)...)) }
		for n := range 5 * 60 {
			time.Sleep(time.Second)
			write(n)
			wantRefused(t, f.v, a.Token(plain()), "")
			wantRefused(t, f.v, b.Token(plain()), verify.KeysUnavailable)
		}
		synctest.Wait()
		wantLines(t, f.log.take(), "it is being written")
		time.Sleep(2 * time.Second)
		write(1000)
		wantRefused(t, f.v, a.Token(plain()), verify.KeysUnavailable)
	})
}

// TestKeyFileAtFirst has the file written in place when it is first looked at.
func TestKeyFileAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := verifytest.NewSigner(verify.EdDSA, "a"), verifytest.NewSigner(verify.EdDSA, "b")
		path := filepath.Join(t.TempDir(), "jwks.json")
		write := func(text []byte) {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Error(err)
			}
		}
		write(jwks(a.JWK()))
		go func() {
			for _, text := range [][]byte{nil, jwks(a.JWK(), b.JWK())[:100], jwks(b.JWK())} {
				time.Sleep(15 * time.Millisecond)
				write(text)
			}
		}()
		set, err := verify.NewFileKeySet(path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		i := plainIssuer(t)
		i.Keys = set
		wantRefused(t, newVerifier(t, config(i)), b.Token(plain()), "")
	})
}

// TestKeyFileFails has a file that cannot be used for a while: its last keys stand for
// five minutes, which is said once.
func TestKeyFileFails(t *testing.T) {
	a := verifytest.NewSigner(verify.EdDSA, "a")
	good := jwks(a.JWK())
	private := jwks(a.JWK(claims{"d": "AA"}))
	for _, tt := range []struct {
		name  string
		spoil func(f *keyFile)
		why   string
	}{
		{"gone", func(f *keyFile) { os.Remove(f.path) }, "no such file"},
		{"empty", func(f *keyFile) { f.write(nil) }, "not strict JSON"},
		{"half", func(f *keyFile) { f.write(good[:len(good)/2]) }, "not strict JSON"},
		{"half, renamed", func(f *keyFile) { f.rename(good[:len(good)/2]) }, "not strict JSON"},
		{"private", func(f *keyFile) { f.write(private) }, "it is private"},
		{"too long", func(f *keyFile) { f.write(append(good, make([]byte, 1<<20)...)) }, "longer than"},
		{"a directory", func(f *keyFile) { os.Remove(f.path); os.Mkdir(f.path, 0o700) }, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newKeyFile(t, good)
				token, unknown := a.Token(plain()), a.Sign(`{"alg":"EdDSA","kid":"x"}`, plain().JSON())
				time.Sleep(time.Hour) // nobody asked for long
				tt.spoil(f)
				for range 5 * 60 {
					wantRefused(t, f.v, token, "")
					time.Sleep(time.Second)
				}
				wantRefused(t, f.v, unknown, verify.KeysUnavailable)
				synctest.Wait() // for the log
				wantLines(t, f.log.take(), tt.why)
				time.Sleep(2 * time.Second)
				refusal := wantRefused(t, f.v, token, verify.KeysUnavailable)
				if !strings.Contains(refusal.Error(), tt.why) || !strings.Contains(refusal.Error(), f.path) || refusal.Issuer != issuer {
					t.Errorf("%v lacks %q, or the file", refusal, tt.why)
				}
				os.Remove(f.path)
				f.write(good)
				time.Sleep(100 * time.Millisecond)
				wantRefused(t, f.v, token, "")
				synctest.Wait() // for the log
				wantLines(t, f.log.take(), "can be used again")
			})
		})
	}
}

// TestKeyFileSaysItOnce logs a key that is left out when it comes, and not again while
// it stays.
func TestKeyFileSaysItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := verifytest.NewSigner(verify.EdDSA, "a"), verifytest.NewSigner(verify.EdDSA, "b"), verifytest.NewSigner(verify.EdDSA, "c")
		enc := claims{"use": "enc"}
		f := newKeyFile(t, jwks(a.JWK(), b.JWK(enc)))
		synctest.Wait() // for the log
		wantLines(t, f.log.take(), `"b"`)
		for range 10 {
			f.settle()
		}
		f.write(jwks(c.JWK(), a.JWK(), b.JWK(enc)))
		f.settle()
		wantRefused(t, f.v, c.Token(plain()), "")
		synctest.Wait() // for the log
		wantLines(t, f.log.take())
		f.write(jwks(c.JWK(enc)))
		f.settle()
		wantRefused(t, f.v, c.Token(plain()), verify.WrongKey)
		synctest.Wait() // for the log
		wantLines(t, f.log.take(), `"c"`, "no key that is of use: every token is refused")
	})
}

// TestKeyFileMadeUpIDs has many tokens with ids that nobody has: the file is read ten
// times a second, and not for each.
func TestKeyFileMadeUpIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := verifytest.NewSigner(verify.EdDSA, "a")
		f := newKeyFile(t, jwks(a.JWK()))
		madeUp := a.Sign(`{"alg":"EdDSA","kid":"x"}`, plain().JSON())
		wantRefused(t, f.v, madeUp, verify.WrongKey)
		f.rename(jwks(a.JWK(claims{"kid": "x"})))
		for range 99 {
			time.Sleep(time.Millisecond)
			wantRefused(t, f.v, madeUp, verify.WrongKey)
		}
		time.Sleep(time.Millisecond)
		wantRefused(t, f.v, madeUp, "")
	})
}

func TestNewFileKeySet(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct{ path, want string }{
		{filepath.Join(dir, "missing"), "read key set " + dir + "/missing: no such file"},
		{dir, "not a regular file"},
		{file("empty", nil), "not strict JSON"},
		{file("none", jwks()), "no key that is of use"},
		{file("private", jwks(signers()[verify.EdDSA].JWK(claims{"d": "AA"}))), "it is private"},
	}
	if runtime.GOOS == "linux" {
		// Opening one would wait for a writer.
		fifo := filepath.Join(dir, "fifo")
		if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
			t.Fatalf("mkfifo: %v: %s", err, out)
		}
		tests = append(tests, struct{ path, want string }{fifo, "not a regular file"})
	}
	for _, tt := range tests {
		if _, err := verify.NewFileKeySet(tt.path, quiet); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.path, err, tt.want)
		}
	}
}

// TestKeyFileAtOnce rewrites the file in place and by renaming, while many verify. Two
// sets take turns, and half of one with half of the other would be a third.
func TestKeyFileAtOnce(t *testing.T) {
	a, b := verifytest.NewSigner(verify.RS256, "a"), verifytest.NewSigner(verify.RS256, "a")
	steady := verifytest.NewSigner(verify.EdDSA, "steady")
	sets := [][]byte{jwks(a.JWK(), steady.JWK()), jwks(b.JWK(), steady.JWK())}
	f := newKeyFile(t, sets[0])
	stop, done := make(chan struct{}), make(chan error)
	for _, token := range []string{steady.Token(plain()), a.Token(plain()), steady.Token(plain()), b.Token(plain())} {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				_, err := f.v.Verify(context.Background(), token)
				refusal, _ := errors.AsType[*verify.Refusal](err)
				if err != nil && (strings.HasPrefix(token, steady.Token(plain())[:20]) || refusal.Reason != verify.WrongSignature) {
					done <- err
					return
				}
			}
		}()
	}
	for n, end := 0, time.Now().Add(2500*time.Millisecond); time.Now().Before(end); n++ {
		f.write(sets[n%2])
		f.write(sets[(n+1)%2])
		if n%100 == 0 {
			f.rename(sets[n/100%2])
		}
	}
	close(stop)
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
