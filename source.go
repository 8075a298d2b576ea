package ingressauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Source finds a token.
type Source interface {
	// Token returns the current token. It returns [ErrNoToken], or an error that
	// wraps it, where there is none; any other error means that there is one and
	// it cannot be had. It may wait, and then ends with the context. It may be
	// called concurrently. The token may change between calls, so callers ask
	// again rather than keep it.
	Token(ctx context.Context) (Token, error)
}

// Renewer is a [Source] that can be told that a token no longer works.
type Renewer interface {
	Source
	// Renew says that a server refused this token, and returns another one. It
	// returns [ErrNoToken], or an error that wraps it, where there is none but
	// the refused one. Otherwise it is as Token, which from then on returns that
	// one, too, or a newer one.
	Renew(ctx context.Context, refused Token) (Token, error)
}

// Static returns a source of one token that never changes. The zero Token makes a
// source that has none.
func Static(t Token) Source { return static{t} }

type static struct{ t Token }

func (s static) Token(context.Context) (Token, error) {
	if s.t.IsZero() {
		return Token{}, ErrNoToken
	}
	return s.t, nil
}

// sameText compares tokens by what servers refuse, which is a text: the
// organisation beside it makes no other token of it.
func sameText(a, b Token) bool { return a.Reveal() == b.Reveal() }

// First returns a source that asks these in order and takes the first token. One
// that fails for another reason than [ErrNoToken] ends the search with its
// error, since those after it may belong to another session. Renew asks the one
// that has the token, and no other, for the same reason.
func First(sources ...Source) Renewer { return first(sources) }

type first []Source

func (f first) Token(ctx context.Context) (Token, error) {
	t, _, err := f.find(ctx)
	return t, err
}

func (f first) find(ctx context.Context) (Token, Source, error) {
	var none []string
	for _, s := range f {
		switch t, err := s.Token(ctx); {
		case err == nil:
			return t, s, nil
		case !errors.Is(err, ErrNoToken):
			return Token{}, nil, err
		default:
			none = append(none, strings.TrimPrefix(err.Error(), ErrNoToken.Error()+": "))
		}
	}
	if len(none) == 0 {
		return Token{}, nil, ErrNoToken
	}
	return Token{}, nil, fmt.Errorf("%w: %s", ErrNoToken, strings.Join(none, "; "))
}

func (f first) Renew(ctx context.Context, refused Token) (Token, error) {
	t, source, err := f.find(ctx)
	if err != nil || !sameText(t, refused) {
		return t, err
	}
	if r, ok := source.(Renewer); ok {
		return r.Renew(ctx, refused)
	}
	return Token{}, fmt.Errorf("%w but the refused one", ErrNoToken)
}
