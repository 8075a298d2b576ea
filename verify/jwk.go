package verify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Bounds on a key set.
const (
	maxKeySet = 1 << 20 // bytes
	maxKeys   = 256
)

// parseKeySet reads a JWK Set (RFC 7517, section 5). ignored has a line for each key
// that is left out.
func parseKeySet(jwks []byte) (found keys, ignored []string, err error) {
	if len(jwks) > maxKeySet {
		return keys{}, nil, fmt.Errorf("the key set is longer than %d bytes", maxKeySet)
	}
	members, ok := parseObject(string(jwks), nil, maxKeySet)
	if !ok {
		return keys{}, nil, errors.New("the key set is not strict JSON: one object, in UTF-8, no member twice")
	}
	set := lookUp(members, "keys")
	if !set.isArray() {
		return keys{}, nil, errors.New(`the key set has no array "keys"`)
	}
	list, ok := set.elements(maxKeys)
	if !ok {
		return keys{}, nil, fmt.Errorf("the key set has more than %d keys", maxKeys)
	}
	ignore := func(name string, why any) {
		// Once, also of several keys of one name.
		if message := fmt.Sprintf("%s is ignored: %v", name, why); !slices.Contains(ignored, message) {
			ignored = append(ignored, message)
		}
	}
	var usable []*key
	var names []string // of those
	for n, v := range list {
		k, err := parseKey(v)
		name := fmt.Sprintf(`key %d of the key set, which has no "kid",`, n+1)
		if k.hasID {
			name = fmt.Sprintf(`the key with "kid" %.64q`, k.id)
		}
		switch {
		case errors.Is(err, errSecret):
			return keys{}, nil, fmt.Errorf("%s: %w", name, err)
		case err != nil:
			ignore(name, err)
		default:
			usable, names = append(usable, k), append(names, name)
		}
	}
	if len(usable) == 1 {
		found.only = usable[0]
	}
	// Of two keys with one id, the one that comes first may be the wrong one.
	for n, k := range usable {
		if slices.ContainsFunc(usable, func(other *key) bool { return other != k && other.hasID == k.hasID && other.id == k.id }) {
			ignore(names[n], "it is not the only one with this id, or without one")
		} else {
			found.list = append(found.list, k)
		}
	}
	return found, ignored, nil
}

// errSecret says that a key is not for publishing. Whoever has read the set can sign
// tokens with it.
var errSecret = errors.New("it is private or symmetric, and not for publishing: replace it, and make a set of public keys")

// parseKey reads a JWK (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).
// The key that it returns beside an error says its id alone.
func parseKey(v value) (*key, error) {
	k := new(key)
	members, ok := v.fields(nil, maxKeySet)
	if !ok {
		return k, errors.New("it is not an object")
	}
	kid := lookUp(members, "kid")
	k.id, k.hasID = kid.str()
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if lookUp(members, name) != "" {
			return k, errSecret
		}
	}
	if kid != "" && !k.hasID {
		return k, errors.New(`its "kid" is not a string`)
	}
	kty, _ := lookUp(members, "kty").str()
	crv, _ := lookUp(members, "crv").str()
	switch {
	case kty == "EC" && crv == "P-256":
		k.algorithm = ES256
	case kty == "OKP" && crv == "Ed25519":
		k.algorithm = EdDSA
	case kty == "RSA":
		k.algorithm = RS256
	default:
		return k, errors.New("it is neither of P-256, nor of Ed25519, nor of RSA")
	}
	if err := checkUse(members, k.algorithm); err != nil {
		return k, err
	}
	switch k.algorithm {
	case ES256:
		return k, k.readECDSA(members)
	case EdDSA:
		return k, k.readEd25519(members)
	}
	return k, k.readRSA(members)
}

// checkUse says why a key is not for verifying with its algorithm.
func checkUse(members []member, algorithm Algorithm) error {
	if use := lookUp(members, "use"); use != "" {
		if s, _ := use.str(); s != "sig" {
			return errors.New(`its "use" is not "sig"`)
		}
	}
	if ops := lookUp(members, "key_ops"); ops != "" {
		list, _ := ops.elements(maxMembers)
		if !slices.ContainsFunc(list, func(v value) bool { s, _ := v.str(); return s == "verify" }) {
			return errors.New(`its "key_ops" has no "verify"`)
		}
	}
	if alg := lookUp(members, "alg"); alg != "" {
		if s, _ := alg.str(); s != string(algorithm) {
			return fmt.Errorf(`its "alg" is not %q, for which alone a key of its type is used here`, algorithm)
		}
	}
	return nil
}

// octets reads a member that holds bytes in base64url.
func octets(members []member, name string) ([]byte, error) {
	s, ok := lookUp(members, name).str()
	b, err := base64url.DecodeString(s)
	if !ok || err != nil || len(b) == 0 || containsLineBreak(s) {
		return nil, fmt.Errorf("its %q is missing, or not base64url", name)
	}
	return b, nil
}

// readECDSA reads the coordinates of a point of P-256, each of full length (RFC 7518,
// section 6.2.1.2).
func (k *key) readECDSA(members []member) error {
	x, errX := octets(members, "x")
	y, errY := octets(members, "y")
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	if len(x) != 32 || len(y) != 32 {
		return errors.New("its coordinates are not 32 bytes long")
	}
	var err error
	if k.ecdsa, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y)); err != nil {
		return errors.New("it is not a point of P-256")
	}
	return nil
}

func (k *key) readEd25519(members []member) error {
	x, err := octets(members, "x")
	if err != nil {
		return err
	}
	if len(x) != ed25519.PublicKeySize {
		return fmt.Errorf("it is not %d bytes long", ed25519.PublicKeySize)
	}
	if !isSoundEd25519(x) {
		return errors.New("it is not a point of Ed25519 that can be a key")
	}
	k.ed25519 = x
	return nil
}

// isSoundEd25519 reports whether b is a point of the curve -x²+y² = 1+dx²y² (RFC 8032,
// section 5.1) in its one encoding, and not one of the eight whose multiples are so few
// that anybody can sign for them. crypto/ed25519 does not say.
func isSoundEd25519(b []byte) bool {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	mod := func(n *big.Int) *big.Int { return n.Mod(n, p) }
	d := big.NewInt(121666)
	d = mod(d.Mul(d.ModInverse(d, p), big.NewInt(-121665)))

	little := slices.Clone(b)
	slices.Reverse(little)
	little[0] &= 0x7F // the sign of x
	y := new(big.Int).SetBytes(little)
	if y.Cmp(p) >= 0 {
		return false
	}
	one := big.NewInt(1)
	yy := mod(new(big.Int).Mul(y, y))
	u := mod(new(big.Int).Sub(yy, one))
	v := mod(new(big.Int).Add(mod(new(big.Int).Mul(d, yy)), one))
	// x² is u/v, and v is never 0. Two points have x = 0 (y² = 1), two y = 0, and of
	// four others the double has: y² = -x², and so dy⁴ + 2y² = 1.
	quadruple := mod(new(big.Int).Add(mod(new(big.Int).Mul(d, mod(new(big.Int).Mul(yy, yy)))), new(big.Int).Lsh(yy, 1)))
	if u.Sign() == 0 || y.Sign() == 0 || quadruple.Cmp(one) == 0 {
		return false
	}
	return big.Jacobi(mod(u.Mul(u, v)), p) == 1
}

// readRSA reads a modulus of 2048 to 8192 bits, and an exponent of at most 31 bits, as
// crypto/rsa has it.
func (k *key) readRSA(members []member) error {
	n, errN := octets(members, "n")
	e, errE := octets(members, "e")
	if err := errors.Join(errN, errE); err != nil {
		return err
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	switch bits := modulus.BitLen(); {
	case bits < 2048 || bits > 8192:
		return fmt.Errorf("it has %d bits, and not 2048 to 8192", bits)
	case modulus.Bit(0) == 0:
		return errors.New("its modulus is even")
	case exponent.BitLen() > 31 || exponent.Int64() < 3 || exponent.Bit(0) == 0:
		return errors.New("its exponent is not an odd number from 3 to 2^31-1")
	case hasROCA(modulus):
		return errors.New("it was made by a flawed library (CVE-2017-15361), and can be factored")
	}
	k.rsa = &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}
	return nil
}

// hasROCA reports whether a modulus has the trait of the flawed keys: each of their
// primes is a power of 65537 modulo many small primes, and so is the product. Of sound
// keys, one in 2^27 or fewer has it. (Nemec and others, "The Return of Coppersmith's
// Attack", section 2.)
func hasROCA(modulus *big.Int) bool {
	for _, small := range []int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
		101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		rest := new(big.Int).Mod(modulus, big.NewInt(small)).Int64()
		generator := 65537 % small
		power := generator
		for power != rest {
			if power = power * generator % small; power == generator {
				return false // all its powers were seen
			}
		}
	}
	return true
}
