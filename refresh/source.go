package refresh

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ingressauth/ingressauth"
)

// What a Refresher asks of sources of this package, besides.
type (
	// issuer knows more of a token than its text says. What it is told of is the zero Token,
	// or one that a server refused.
	issuer interface {
		issue(ctx context.Context, refused ingressauth.Token) (issued, error)
	}
	// polled costs little to ask, and can have another token at any time.
	polled interface{ every() time.Duration }
	// checked says what is wrong with it before it is asked.
	checked interface{ check() error }
	// resting is an error of a source that is not to be asked for a while.
	resting interface {
		error
		rest() time.Duration
	}
)

// issued is what a source had.
type issued struct {
	token ingressauth.Token
	life  time.Duration // for how long it is good, from when it was asked for; 0 where the source does not say
}

var errRefused = fmt.Errorf("%w but the one that a server refused", ingressauth.ErrNoToken)

// newToken returns the token with this text, a session key with its organisation.
func newToken(text string) (ingressauth.Token, error) {
	return ingressauth.NewToken(text, os.Getenv(ingressauth.Profile{}.WithDefaults().OrganizationVariable))
}

// sameText compares tokens by what servers refuse, which is a text.
func sameText(a, b ingressauth.Token) bool { return a.Reveal() == b.Reveal() }
