package verify

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"
)

// TestDER holds appendDER to encoding/asn1, for integers with zeros and high bits in
// front.
func TestDER(t *testing.T) {
	var integers [][]byte
	for _, zeros := range []int{0, 1, 2, 31, 32} {
		for _, first := range []byte{0x01, 0x7F, 0x80, 0xFF} {
			n := make([]byte, 32)
			for i := zeros; i < 32; i++ {
				n[i] = 0xA5
			}
			if zeros < 32 {
				n[zeros] = first
			}
			integers = append(integers, n)
		}
	}
	for _, r := range integers {
		for _, s := range integers {
			want, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
			if err != nil {
				t.Fatal(err)
			}
			var room [72]byte
			got := appendDER(room[:0], (*[64]byte)(append(bytes.Clone(r), s...)))
			if !bytes.Equal(got, want) {
				t.Errorf("%x, %x: %x, want %x", r, s, got, want)
			}
			if &got[0] != &room[0] {
				t.Errorf("%x, %x: the room was too small", r, s)
			}
		}
	}
}

func TestROCA(t *testing.T) {
	// Made as the flawed library made primes: k*M + (65537^a mod M), M the product of
	// the first 39 primes. The trait is the residue's, whether or not it is prime.
	m := big.NewInt(1)
	for n := int64(2); n <= 167; n++ {
		if big.NewInt(n).ProbablyPrime(20) {
			m.Mul(m, big.NewInt(n))
		}
	}
	flawed := func(k, a int64) *big.Int {
		p := new(big.Int).Exp(big.NewInt(65537), big.NewInt(a), m)
		return p.Add(p, new(big.Int).Mul(big.NewInt(k), m))
	}
	for n := int64(1); n < 100; n++ {
		product := new(big.Int).Mul(flawed(n, 7*n), flawed(3*n+1, 1000*n))
		if !hasROCA(product) {
			t.Errorf("%d: a flawed modulus is not seen", n)
		}
		if hasROCA(product.Add(product, big.NewInt(2))) {
			t.Errorf("%d: another is taken for flawed", n)
		}
	}
}
