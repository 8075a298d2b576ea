package interop

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifytest"
)

// peer is a program that signs and verifies with another language's library. It reads
// a peerInput as JSON, verifies the tokens in it, and answers with a peerOutput.
type peer struct {
	name    string
	command []string
	probe   []string // succeeds where the library is there
	program string
}

type peerInput struct {
	Issuer   string            `json:"issuer"`
	Audience string            `json:"audience"`
	JWKS     json.RawMessage   `json:"jwks"`
	Tokens   []string          `json:"tokens"` // to verify
	Claims   verifytest.Claims `json:"claims"` // to sign
}

type peerOutput struct {
	Subjects []string        `json:"subjects"` // of the tokens, or "" where one was refused
	JWKS     json.RawMessage `json:"jwks"`     // of the peer's own keys
	Signed   []string        `json:"signed"`   // the claims, by each of its keys
}

//go:embed testdata/peer.js
var nodeProgram string

//go:embed testdata/peer.py
var pythonProgram string

var peers = []peer{
	// The library is installed by npm where NODE_PATH says.
	{"npm jose", []string{"node", "-e"}, []string{"node", "-e", `require("jose")`}, nodeProgram},
	// Debian's python3, whatever other is first in the path.
	{"python3-jwt", []string{"/usr/bin/python3", "-c"}, []string{"/usr/bin/python3", "-c", "import jwt, cryptography"}, pythonProgram},
}

// TestPeers has each peer's tokens verified here, and tokens that were made here
// verified there, of every algorithm.
func TestPeers(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			if out, err := exec.Command(p.probe[0], p.probe[1:]...).CombinedOutput(); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("CI has no %s: %v: %s", p.name, err, out)
				}
				t.Skipf("needs %s", p.name)
			}
			signers := newSigners()
			claims := verifytest.Claims{"iss": issuer, "aud": []string{"x", audience}, "sub": "sömeone",
				"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "act": verifytest.Claims{"sub": "user:1"}}
			in := peerInput{Issuer: issuer, Audience: audience, JWKS: publicKeys(signers), Claims: claims}
			for _, a := range algorithms {
				in.Tokens = append(in.Tokens, signers[a].Token(claims), verifytest.NewSigner(a, string(a)).Token(claims))
			}
			out := p.run(t, in)
			want := []string{"sömeone", "", "sömeone", "", "sömeone", ""}
			for i, subject := range want {
				if i >= len(out.Subjects) || out.Subjects[i] != subject {
					t.Errorf("it reads %q in our tokens, and not %q", out.Subjects, want)
					break
				}
			}

			set, err := verify.NewKeySet(out.JWKS, nil)
			if err != nil {
				t.Fatalf("its key set %s: %v", out.JWKS, err)
			}
			v, err := verify.New(verify.Config{Issuers: []verify.Issuer{{Issuer: issuer, Audiences: []string{audience}, Keys: set}}})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Signed) != len(algorithms) {
				t.Errorf("it signed %d tokens, want %d", len(out.Signed), len(algorithms))
			}
			for _, token := range out.Signed {
				principal, err := v.Verify(context.Background(), token)
				if err != nil {
					t.Errorf("%s: %v", describe(token), err)
					continue
				}
				if principal.Subject != "sömeone" || principal.Creator != (verify.Creator{Kind: verify.User, ID: "1"}) {
					t.Errorf("%s: %+v", describe(token), principal)
				}
			}
		})
	}
}

func (p peer) run(t *testing.T, in peerInput) (out peerOutput) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.command[0], append(p.command[1:], p.program)...)
	input, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", p.name, err, &stderr)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%s answered %q: %v", p.name, text, err)
	}
	return out
}
