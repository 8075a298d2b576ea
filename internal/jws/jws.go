// Package jws signs as RFC 7515 says.
package jws

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
)

// Algorithm returns the "alg" of what a key signs (RFC 7518, section 3.1, and RFC 8037,
// section 3.1): ES256 of a P-256 key, EdDSA of an Ed25519 key, RS256 of an RSA key of 2048 bits
// or more. There are no others.
func Algorithm(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return "ES256", nil
		}
	case ed25519.PublicKey:
		return "EdDSA", nil
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return "RS256", nil
		}
	}
	return "", errors.New("a key is P-256, Ed25519, or RSA of 2048 bits or more")
}

// Signature returns a key's signature over signed, as a JWS has it.
func Signature(key crypto.Signer, signed string) ([]byte, error) {
	digest := sha256.Sum256([]byte(signed))
	input, opts := digest[:], crypto.SignerOpts(crypto.SHA256)
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		input, opts = []byte(signed), crypto.Hash(0)
	}
	signature, err := key.Sign(rand.Reader, input, opts)
	if err != nil {
		return nil, err
	}
	if _, ok := key.Public().(*ecdsa.PublicKey); ok { // RFC 7518, section 3.4
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(signature, &rs); err != nil {
			return nil, err
		}
		if rs.R.BitLen() > 256 || rs.S.BitLen() > 256 {
			return nil, errors.New("the key has returned no signature of P-256")
		}
		signature = append(rs.R.FillBytes(make([]byte, 32)), rs.S.FillBytes(make([]byte, 32))...)
	}
	return signature, nil
}

// Sign returns a JWS in compact form of a header and a payload, whatever they are.
func Sign(key crypto.Signer, header, payload string) (string, error) {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	signature, err := Signature(key, signed)
	return signed + "." + encode(signature), err
}
