// Package verify says who sent a token or a request: whether to believe it, and which
// session, in whose name, it is from. It is for services that sessions call.
//
// A [Verifier] is made once, of the issuers that a service trusts. A [Guard] has it asked
// for each request to a handler:
//
//	guard := &verify.Guard{Verifier: verifier, Policy: verify.InOrganization(id)}
//	http.Handle("/", guard.Handler(handler))
//
// The handler gets the [Principal] from the context, by [PrincipalFrom]; who is refused gets
// a [Refusal] with a reason from a closed list. For self-hosted Claude Code sessions
// [ClaudeCode] says all that is to be demanded; any other issuer of JWTs is an [Issuer] that
// says so itself. The issuer's public keys are a [KeySet], mostly a [RemoteKeySet]. Package
// verifytest helps to test handlers, and module verifygrpc is for gRPC.
//
// # What is demanded of a token
//
// A token is an issuer's prefix, which may be empty, and a JWT in compact form (RFC
// 7515, section 3.1; RFC 7519). It is believed if all of this holds:
//
//   - Form: three parts in unpadded base64url, as short as they can be; strict JSON in
//     UTF-8, in which no object has two members of one name, no string a lone surrogate
//     or U+0000, no object more than 128 members, all together no more than 256, and no
//     value more than 32 levels. It is not longer than the issuer's tokens may be.
//   - Header: "typ" is missing, "JWT" or "at+jwt", in any case and with "application/"
//     or without. There are no extensions ("crit", "b64"), and no key or place of a key
//     ("jwk", "jku", "x5c", "x5u").
//   - Key: "kid" is the id of a key of the issuer's; only a set of one key serves
//     tokens without one. The key says the algorithm, and "alg" must be the same:
//     ES256, EdDSA (Ed25519) or RS256 (2048 to 8192 bits), as far as the issuer signs
//     with it.
//   - Signature: the key's, over the first two parts.
//   - Claims: "iss" is the issuer. "aud", a string or an array of strings, has an
//     audience that means this service. The required claims are what they must be.
//   - Times: "exp" has not passed; "nbf" and "iat", if they are there, have; and from
//     "iat" to "exp" is no longer than the issuer's tokens may live. They are
//     unsigned numbers without an exponent, up to the year 9999. Clocks may differ by
//     the issuer's leeway.
//   - It was not taken back, as far as [Revocations] knows, which is asked every time.
//
// A claim that is null counts as one that is not there. A known claim of the wrong type
// is a refusal; unknown claims are ignored, and returned by [Principal.Claims].
//
// Which issuer's demands a token must meet is decided by its prefix and "iss", so that
// one token never has two verdicts, and "kid" says for which key to look. Nothing else
// that a token says has an effect before its signature was verified, except that it is
// refused.
//
// # Session keys
//
// Session keys, which begin with "sk-ant-sid", are opaque, so that somebody must know
// them: [SessionKeys]. Without that they are refused.
package verify
