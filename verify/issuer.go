package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Issuer is whom a [Verifier] trusts to sign tokens, and what it demands of them.
type Issuer struct {
	// Prefix is what a token begins with before its JWT begins, such as
	// "sk-ant-cc-". It is compared exactly. "" means that the token is a JWT.
	Prefix string
	// Issuer is the "iss" of its tokens. It is required, and compared exactly.
	Issuer string
	// Audiences are the values of "aud" that mean this service. A token must have
	// one of them. They are required: a token that is for anybody is no proof
	// that it is for you.
	Audiences []string
	// Algorithms are those that it signs with. Empty means all that this package
	// has. A key is used with its own algorithm alone, whatever stands here.
	Algorithms []Algorithm
	// Claims are the names of claims that must be there, and the string that each
	// must be, exactly.
	Claims map[string]string
	// Keys are its public keys. They are required.
	Keys KeySet
	// Leeway is how far clocks may differ: a token is taken for that long after
	// its "exp", and before its "nbf" and "iat". 0 means a minute, a negative one
	// none; five minutes are the most.
	Leeway time.Duration
	// MaxLife is the longest time from a token's "iat" to its "exp"; for a token
	// without an "iat" it bounds what is left. 0 means 24 hours.
	MaxLife time.Duration
	// MaxSize is the length of the longest token, in bytes, with its prefix. 0
	// means 8 KiB; 64 KiB are the most.
	MaxSize int

	sessions bool       // its tokens are self-hosted sessions'
	required []required // Claims, in order
}

// required is a claim that must be there.
type required struct{ name, want string }

// Defaults and bounds of an Issuer's fields.
const (
	defaultLeeway  = time.Minute
	maxLeeway      = 5 * time.Minute
	defaultMaxLife = 24 * time.Hour
	defaultMaxSize = 8 << 10
	maxSize        = 64 << 10
)

// ClaudeCodeKeysURL is where the keys are published that sign the tokens of
// self-hosted Claude Code sessions.
const ClaudeCodeKeysURL = "https://api.anthropic.com/v1/code/.well-known/jwks.json"

// ClaudeCode returns the issuer of the tokens of Claude Code sessions in the
// self-hosted environment with this id, which begins with "ccpool_". Its Keys are the
// caller's to set, and to close: a [RemoteKeySet] of [ClaudeCodeKeysURL].
//
// It demands what the vendor documents ("Verify session identity in self-hosted
// environments"): ES256, a life of eight hours at most, this environment among the
// audiences, and the role "session_worker", since tokens of other roles are signed by
// the same keys. Tokens of sessions that the vendor hosts, which begin with
// "sk-ant-si-", are refused, and so is a token without "iat", that names no session, or
// whose environment ("ccr:pool_id") is not among those in its "aud". For several
// environments, append their ids to Audiences.
func ClaudeCode(environment string) (Issuer, error) {
	if !isEnvironment(environment) {
		return Issuer{}, errNoEnvironment
	}
	return Issuer{
		Prefix:     "sk-ant-cc-",
		Issuer:     "ccr",
		Audiences:  []string{environment},
		Algorithms: []Algorithm{ES256},
		Claims:     map[string]string{"ccr:role": "session_worker"},
		MaxLife:    8 * time.Hour,
		sessions:   true,
	}, nil
}

// errNoEnvironment is of an audience of sessions that is no environment's:
// "anthropic-api" is one of every such token.
var errNoEnvironment = fmt.Errorf("the id of a self-hosted environment is %q and more, and this one is not: see where the environment is listed", environmentPrefix)

const environmentPrefix = "ccpool_"

func isEnvironment(id string) bool {
	return strings.HasPrefix(id, environmentPrefix) && id != environmentPrefix
}

// checked returns i with its defaults, sharing nothing that its caller could change,
// or says what is wrong with it.
func (i Issuer) checked() (Issuer, error) {
	switch {
	case i.Issuer == "":
		return Issuer{}, errors.New(`it has no Issuer, the "iss" of its tokens`)
	case len(i.Audiences) == 0:
		return Issuer{}, errors.New("it has no Audiences: say which values of \"aud\" mean this service")
	case slices.Contains(i.Audiences, ""):
		return Issuer{}, errors.New("an empty audience: is something not set?")
	case i.sessions && slices.ContainsFunc(i.Audiences, func(id string) bool { return !isEnvironment(id) }):
		return Issuer{}, errNoEnvironment
	case i.Keys == nil:
		return Issuer{}, errors.New("it has no Keys: see NewRemoteKeySet, NewFileKeySet and NewKeySet")
	case !isPrefix(i.Prefix):
		return Issuer{}, errors.New("its Prefix holds what no token begins with: letters, digits, - and _ are all that may stand there")
	case i.Leeway > maxLeeway:
		return Issuer{}, fmt.Errorf("its Leeway of %v is longer than %v", i.Leeway, maxLeeway)
	case i.MaxLife < 0:
		return Issuer{}, errors.New("its MaxLife is negative")
	case i.MaxSize < 0 || i.MaxSize > maxSize:
		return Issuer{}, fmt.Errorf("its MaxSize of %d is not between 0 and %d", i.MaxSize, maxSize)
	}
	i.required = nil
	for _, name := range slices.Sorted(maps.Keys(i.Claims)) {
		if name == "" {
			return Issuer{}, errors.New("a required claim has no name")
		}
		i.required = append(i.required, required{name, i.Claims[name]})
	}
	all := []Algorithm{ES256, EdDSA, RS256}
	for _, a := range i.Algorithms {
		if !slices.Contains(all, a) {
			return Issuer{}, fmt.Errorf("algorithm %q is not one of %v", a, all)
		}
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = all
	}
	i.Algorithms = slices.Clone(i.Algorithms)
	i.Audiences = slices.Clone(i.Audiences)
	i.Claims = nil // they are in i.required
	switch {
	case i.Leeway == 0:
		i.Leeway = defaultLeeway
	case i.Leeway < 0:
		i.Leeway = 0
	}
	if i.MaxLife == 0 {
		i.MaxLife = defaultMaxLife
	}
	if i.MaxSize == 0 {
		i.MaxSize = defaultMaxSize
	}
	return i, nil
}

// isPrefix reports whether s, before a JWT, is still text that a header can carry and
// in which the first dot is the JWT's.
func isPrefix(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
