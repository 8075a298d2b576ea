package verify

import "context"

// VerifyJWS returns the payload of a JWS that a key of the set signed, whatever it is:
// the half of Verify that vectors without claims are for.
func VerifyJWS(text string, set KeySet) (payload string, err error) {
	j, ok := parseJWS(text, new(scratch))
	if !ok {
		return "", &Refusal{Reason: Malformed}
	}
	i := Issuer{Algorithms: []Algorithm{ES256, EdDSA, RS256}, Keys: set}
	k, refusal := i.keyOf(context.Background(), &j.header)
	if refusal != nil {
		return "", refusal
	}
	if !k.verifies(j.signed, j.signature) {
		return "", &Refusal{Reason: WrongSignature}
	}
	return j.payload, nil
}
