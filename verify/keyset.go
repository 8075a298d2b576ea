package verify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
)

// KeySet is an issuer's public keys. [NewKeySet], [NewFileKeySet], [NewRemoteKeySet] and
// [FetchKeySet] make one, which may be used concurrently and by several verifiers.
//
// A token's "kid" picks the key of that id. A token without one is for a set with one
// key that is of use. All else is refused, with [WrongKey].
type KeySet interface {
	// key returns the key of this id or, if there is no id, the set's only key.
	// It returns errNoKey where there is none; any other error means that the
	// keys cannot be had. As long as a key is in the set, it is the same pointer.
	key(ctx context.Context, id string, hasID bool) (*key, error)

	// known does the same, but does not wait for an issuer.
	known(ctx context.Context, id string, hasID bool) (*key, error)
}

// errNoKey says that a key set has no such key.
var errNoKey = errors.New("no such key")

// errNoUse says that all keys of a set are left out, or that it has none.
var errNoUse = errors.New("the key set has no key that is of use")

// NewKeySet returns the keys of a JWK Set (RFC 7517, section 5), as JSON of at most
// 1 MiB and 256 keys. They never change.
//
// Keys that are no use here are left out, and the log says which and why: those of
// other types, curves and sizes, those whose "use", "key_ops" or "alg" is another's,
// points that are not on their curve or have few multiples, RSA keys with the weakness
// of CVE-2017-15361, and of what is left all that share a "kid", or have none. A set
// with a private or symmetric key, with no key that is of use, or that is not strict
// JSON is an error. A nil log means [slog.Default].
func NewKeySet(jwks []byte, log *slog.Logger) (KeySet, error) {
	found, ignored, err := parseKeySet(jwks)
	if err != nil {
		return nil, err
	}
	return found.withLog(ignored, log)
}

// withLog returns s as a key set that is of use, once what is left out of it was logged.
func (s keys) withLog(ignored []string, log *slog.Logger) (KeySet, error) {
	for _, message := range ignored {
		orDefault(log).Warn(message)
	}
	if len(s.list) == 0 {
		return nil, errNoUse
	}
	return s, nil
}

func orDefault(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.Default()
	}
	return log
}

// keys is a key set that never changes.
type keys struct {
	list []*key // their ids differ, and one at most has none
	only *key   // the set's only key that is of use, or nil
}

func (s keys) key(_ context.Context, id string, hasID bool) (*key, error) {
	if !hasID {
		if s.only == nil {
			return nil, errNoKey
		}
		return s.only, nil
	}
	for _, k := range s.list {
		if k.hasID && k.id == id {
			return k, nil
		}
	}
	return nil, errNoKey
}

func (s keys) known(ctx context.Context, id string, hasID bool) (*key, error) {
	return s.key(ctx, id, hasID)
}

// adopt returns s with the keys of old in place of those that are the same.
func (s keys) adopt(old keys) keys {
	adopted := keys{list: slices.Clone(s.list), only: s.only}
	for i, k := range adopted.list {
		if n := slices.IndexFunc(old.list, k.equal); n >= 0 {
			adopted.list[i] = old.list[n]
		}
	}
	if s.only != nil {
		adopted.only = adopted.list[0]
	}
	return adopted
}

// newIn returns the messages that are not among those that were said.
func newIn(messages, said []string) []string {
	return slices.DeleteFunc(slices.Clone(messages), func(m string) bool { return slices.Contains(said, m) })
}
