package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
)

// Algorithm is how a token is signed, by the name in its header's "alg" (RFC 7518,
// section 3.1, and RFC 8037, section 3.1).
type Algorithm string

// The algorithms, each of which has its own kind of key, so that a key says how it is
// used and no token can say otherwise.
const (
	// ES256 is ECDSA with P-256 and SHA-256.
	ES256 Algorithm = "ES256"
	// EdDSA is Ed25519, and no other curve.
	EdDSA Algorithm = "EdDSA"
	// RS256 is RSASSA-PKCS1-v1_5 with SHA-256 and a modulus of 2048 to 8192 bits.
	RS256 Algorithm = "RS256"
)

// key is a public key of a key set. One of the three is there, as the algorithm says.
type key struct {
	id        string // "kid", where hasID
	hasID     bool
	algorithm Algorithm
	ecdsa     *ecdsa.PublicKey
	ed25519   ed25519.PublicKey
	rsa       *rsa.PublicKey
}

// equal reports whether k and other are one key with one id.
func (k *key) equal(other *key) bool {
	if k.id != other.id || k.hasID != other.hasID || k.algorithm != other.algorithm {
		return false
	}
	switch k.algorithm {
	case ES256:
		return k.ecdsa.Equal(other.ecdsa)
	case EdDSA:
		return k.ed25519.Equal(other.ed25519)
	}
	return k.rsa.Equal(other.rsa)
}

// verifies reports whether signature is this key's of signed.
func (k *key) verifies(signed, signature []byte) bool {
	switch k.algorithm {
	case EdDSA:
		return ed25519.Verify(k.ed25519, signed, signature) // it checks the length
	case ES256:
		// Of the same length always, RFC 7518, section 3.4.
		if len(signature) != 64 {
			return false
		}
		var room [72]byte
		digest := sha256.Sum256(signed)
		return ecdsa.VerifyASN1(k.ecdsa, digest[:], appendDER(room[:0], (*[64]byte)(signature)))
	case RS256:
		digest := sha256.Sum256(signed)
		return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, digest[:], signature) == nil // it checks the length
	}
	return false
}

// appendDER appends to der the ASN.1 form of the two integers that a signature holds,
// which is the only one that crypto/ecdsa takes without math/big. Whether they are in
// range it sees for itself.
func appendDER(der []byte, signature *[64]byte) []byte {
	der = append(der, 0x30, 0) // SEQUENCE, and its length when that is known
	for _, n := range [][]byte{signature[:32], signature[32:]} {
		for len(n) > 1 && n[0] == 0 {
			n = n[1:]
		}
		positive := n[0] < 0x80
		der = append(der, 0x02, byte(len(n))) // INTEGER
		if !positive {
			der[len(der)-1]++
			der = append(der, 0)
		}
		der = append(der, n...)
	}
	der[1] = byte(len(der) - 2)
	return der
}
