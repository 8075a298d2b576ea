package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"slices"
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

// TestEd25519Points takes all keys, and half of what is none: of two y, one has an x.
func TestEd25519Points(t *testing.T) {
	unsound := 0
	for range 1000 {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if !isSoundEd25519(public) {
			t.Errorf("%x is refused", public)
		}
		b := make([]byte, 32)
		rand.Read(b)
		if !isSoundEd25519(b) {
			unsound++
		}
	}
	if unsound < 350 || unsound > 650 { // once in 10^20 runs
		t.Errorf("%d of 1000 are refused", unsound)
	}
	// Anybody can sign for these: with R the same point's multiple and S zero.
	for _, s := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		// And these are not the one encoding of theirs.
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, sign := range []byte{0, 0x80} {
			b[31] |= sign
			if isSoundEd25519(b) {
				t.Errorf("%x is taken", b)
			}
		}
	}
	// That the two of order 8 are: their signature of zero verifies for some message.
	order8, _ := hex.DecodeString("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
	forged := append([]byte{1}, make([]byte, 63)...)
	if !slices.ContainsFunc(make([]struct{}, 256), func(struct{}) bool {
		return ed25519.Verify(order8, []byte(rand.Text()), forged)
	}) {
		t.Error("nothing is signed by it")
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
