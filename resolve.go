package ingressauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// Default is a resolver for programs that need no other.
var Default Resolver

// Resolver finds the session token of this process, and keeps finding it when it
// is replaced. It looks at the token variable, at the descriptor that the
// descriptor variable names, and at the token file, in this order; the package
// comment has the rules.
//
// The zero Resolver is ready to use. It has nothing to close. It may be used by
// many goroutines at once; its fields must not be changed, and it must not be
// copied, after its first use.
type Resolver struct {
	// Compat restricts the resolver to the rules: no followed file, no successor of
	// an expired token, no forgiven line break. The package comment has the list.
	Compat bool

	// Profile names the variables and the file. Zero means the defaults.
	Profile Profile

	// Descriptor, if above 0, is the number of the descriptor to read, whatever
	// the descriptor variable says. It is for a program that has set
	// close-on-exec on an inherited descriptor itself: one with that flag is
	// otherwise taken for the program's own, and not read.
	Descriptor int

	// Log is told what goes wrong (errors: a source that is there and cannot be
	// used; warnings: what works and should not be so) and what is found (debug).
	// It is told no token. Nil means that nothing is logged.
	Log *slog.Logger

	// RenewWait is how long Renew waits for a token to come where there is none but
	// the refused one: for an update, of which it learns at once, or for the file.
	// A server can know of a rotation before this process does. Zero, or less,
	// means that Renew does not wait. A [Transport] waits for 30 seconds at most.
	RenewWait time.Duration

	// Now is the clock: for expiry, and for how long things stand unchanged. Nil
	// means [time.Now].
	Now func() time.Time

	start    sync.Once
	slot     chan struct{} // of one place; whoever is in it looks beyond the variable
	snapshot atomic.Pointer[snapshot]

	// What was found so far; written in the slot, nil before the first look.
	inherited atomic.Pointer[inherited] // by the descriptor
	file      atomic.Pointer[tokenFile]

	looks   atomic.Uint64 // counts entries into the slot
	refused refusals
}

// snapshot is a choice and all that it was made from. It is immutable.
type snapshot struct {
	env          string        // the token variable, as it stood
	organization string        // the organisation variable, as it stood then
	sessionKey   bool          // and so the organisation counts
	refusals     uint64        // how often what was refused had changed
	stands       bool          // for as long as these do
	at           time.Duration // else for lookInterval from this time on, by Resolver.clock
	look         uint64        // which entry into the slot it is of, 0 if of none

	token  Token
	err    error
	source int
	why    string
	dead   string
	file   bool // the file was looked at
}

const (
	// lookInterval is how often, at most, anything but a variable is looked at.
	lookInterval = time.Millisecond
	// settleTries bounds the waits for a file that is being written, each of
	// settleTime.
	settleTries = 10
)

// Token returns the current token. Where there is none it returns an error that
// wraps [ErrNoToken] and says where it looked; any other error means that what was
// found cannot be used, or that the context ended. It waits only for a descriptor,
// two seconds at most, and for a file that is being written, a fifth of a second
// at most.
func (r *Resolver) Token(ctx context.Context) (Token, error) {
	if s := r.current(os.Getenv(r.tokenVariable())); s != nil {
		return s.token, s.err
	}
	s, err := r.resolve(ctx, false)
	if err != nil {
		return Token{}, err
	}
	return s.token, s.err
}

// Header returns a new header with the fields that carry the current token. Where
// there is no token it is empty, and the error is nil.
func (r *Resolver) Header(ctx context.Context) (http.Header, error) {
	h := make(http.Header, 2)
	t, err := r.Token(ctx)
	if err != nil && !errors.Is(err, ErrNoToken) {
		return nil, err
	}
	t.SetHeader(h)
	return h, nil
}

// Renew says that a server refused this token, and returns another one: what the
// same source has by now; else a successor, of the same issuer and subject, from
// another source; else the file's, if the file variable names the file, which is
// then known to be this session's. Under Compat it is only ever what the same source
// has. A refused token is not used again while there is such another one, unless
// [Resolver.Update] names it.
//
// Renew looks at once, and waits for a file that is just being written, and for
// RenewWait. The error is as Token's, and [ErrNoToken] where there is no token but
// refused ones.
func (r *Resolver) Renew(ctx context.Context, refused Token) (Token, error) {
	if !refused.IsZero() && !r.Compat {
		r.refused.add(refused)
	}
	changed, end := environment.watch()
	defer end()
	before := r.snapshot.Load()
	begun := time.Now()
	for looks := 1; ; looks++ {
		s, err := r.resolve(ctx, true)
		waited := time.Since(begun)
		// Who was held up between two looks has not waited for the file yet. Where it has no
		// token, the look itself has.
		f := r.file.Load()
		patient := waited < settleTries*settleTime || looks <= settleTries && f != nil && f.believed.text != ""
		pending := false // what the file will be shows in a moment
		// Until then the token that it had can be older than the refused one.
		stale := err == nil && s.source == file && f.unsettled() && patient
		switch {
		case err != nil:
			return Token{}, err
		case s.err != nil && !errors.Is(s.err, ErrNoToken):
			return Token{}, s.err
		case s.err != nil:
			err = s.err
		case r.Compat && before != nil && !refused.IsZero() && sameText(before.token, refused) && before.source != s.source:
			err = fmt.Errorf("%w in the source of the refused one", ErrNoToken)
		case !sameText(s.token, refused) && s.dead == "" && !stale:
			return s.token, nil
		default:
			err = fmt.Errorf("%w but one that was refused or has expired", ErrNoToken)
			pending = !r.Compat && s.file && f.pending != nil
		}
		if waited >= r.RenewWait && !(pending && patient) {
			return Token{}, err
		}
		if err := sleep(ctx, settleTime/4, changed); err != nil {
			return Token{}, err
		}
	}
}

// Update makes token the current one: it sets the token variable in this process's
// environment, so that children inherit it, too, and wakes a Renew that waits. The
// empty string clears the variable. A text that no header can carry is an error, and
// changes nothing; so is one that is all white space.
func (r *Resolver) Update(token string) error {
	return r.UpdateVariables(map[string]string{r.tokenVariable(): token})
}

// UpdateVariables is Update for several variables of this process's environment: all
// of them are set, or none. No resolver sees some of them set and others not, so that
// a session key never travels with the organisation of another. For the variables
// that hold the token and its organisation Update's conditions hold, for others
// those of [os.Setenv].
func (r *Resolver) UpdateVariables(variables map[string]string) error {
	values := maps.Clone(variables)
	for name, value := range variables {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return errors.New("update variables: a name or a value that no environment can hold")
		}
		switch name {
		case r.tokenVariable():
			text := r.trimVariable(value)
			if value != "" && text == "" {
				return errors.New("update token: nothing but white space; to clear the token, pass the empty string")
			}
			if err := checkText(text); text != "" && err != nil {
				return fmt.Errorf("update token: %w", err)
			}
			values[name] = text
		case r.organizationVariable():
			if !isFieldValue(r.trimVariable(value)) {
				return errors.New("update organisation: it holds a control character, which no header can carry")
			}
		}
	}
	if text := values[r.tokenVariable()]; text != "" {
		r.refused.remove(text)
	}
	return environment.set(values, r.tokenVariable())
}

// tokenVariable is Profile.WithDefaults().TokenVariable, for the hot path.
func (r *Resolver) tokenVariable() string {
	return cmp.Or(r.Profile.TokenVariable, defaultProfile.TokenVariable)
}

func (r *Resolver) organizationVariable() string {
	return cmp.Or(r.Profile.OrganizationVariable, defaultProfile.OrganizationVariable)
}

// trimVariable drops the line break, or the space, that shells leave at the end of
// a variable.
func (r *Resolver) trimVariable(value string) string {
	if r.Compat {
		return value
	}
	return strings.TrimRight(value, "\r\n \t")
}

func (r *Resolver) log() *slog.Logger {
	if r.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return r.Log
}

func (r *Resolver) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// epoch is where clock counts from.
var epoch = time.Now()

// clock is a time for comparison with itself. It costs half of what now does.
func (r *Resolver) clock() time.Duration {
	if r.Now == nil {
		return time.Since(epoch)
	}
	return r.Now().Sub(epoch)
}

// current returns the snapshot if it still holds, with the token variable at env.
func (r *Resolver) current(env string) *snapshot {
	if s := r.snapshot.Load(); r.holds(s, env) && r.recent(s) {
		return s
	}
	return nil
}

// holds reports whether s was made from variables and refusals as they are now.
func (r *Resolver) holds(s *snapshot, env string) bool {
	return s != nil && s.env == env && s.refusals == r.refused.changes.Load() &&
		(!s.sessionKey || s.organization == os.Getenv(r.organizationVariable()))
}

// recent reports whether what else s was made from need not be looked at again.
func (r *Resolver) recent(s *snapshot) bool {
	if s.stands {
		return true
	}
	d := r.clock() - s.at
	return 0 <= d && d < lookInterval
}

// resolve makes a new snapshot, unless somebody else did meanwhile, or, if fresh is
// false, just before. Only what lies beyond the variable is looked at in the slot,
// so that a token in the variable never waits behind a pipe.
func (r *Resolver) resolve(ctx context.Context, fresh bool) (*snapshot, error) {
	s := &snapshot{refusals: r.refused.changes.Load()}
	s.env, s.organization = environment.get(r.tokenVariable(), r.organizationVariable())
	asked := r.looks.Load()
	var inSlot bool
	var notes journal
	defer func() {
		if inSlot {
			<-r.slot
		}
		notes.write(r.log()) // not in the slot: a handler may need a token itself
	}()
	var current *snapshot
	c, err := r.policy(r.refused.meet).choose(func(source int) (finding, error) {
		if source == variable {
			return r.lookVariable(s.env), nil
		}
		if !inSlot {
			if err := r.enter(ctx); err != nil {
				return finding{}, err
			}
			inSlot = true
			current = r.snapshot.Load()
			if r.holds(current, s.env) && (current.look > asked || !fresh && r.recent(current)) {
				return finding{}, errAnswered
			}
			s.look = r.looks.Add(1)
		}
		if source == descriptor {
			return r.lookDescriptor(ctx, &notes)
		}
		return r.lookFile(ctx, &notes)
	})
	if err == errAnswered {
		return current, nil
	}
	if err != nil {
		return nil, err
	}
	if c.source == descriptor {
		r.inherited.Load().persist(r, &notes)
	}
	s.source, s.why, s.dead, s.file = c.source, c.why, c.dead, c.looked[file]
	s.sessionKey = schemeOf(c.text) == SchemeSessionKey
	s.token, s.err = r.token(c, s.organization)
	// What can change without a variable's changing: the file, and whether a
	// token has expired.
	s.stands = r.Compat || !c.looked[file] && !c.expiry.Known
	s.at = r.clock()
	r.noteChoice(&notes, r.snapshot.Swap(s), s, c)
	return s, nil
}

// errAnswered says that somebody else has just answered the question.
var errAnswered = errors.New("answered")

// enter waits for the slot.
func (r *Resolver) enter(ctx context.Context) error {
	r.start.Do(func() { r.slot = make(chan struct{}, 1) })
	select {
	case r.slot <- struct{}{}: // also if the context has ended, as nothing is waited for
		return nil
	default:
	}
	select {
	case r.slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// token makes the outcome of a choice.
func (r *Resolver) token(c choice, organization string) (Token, error) {
	switch {
	case c.source < 0:
		return Token{}, fmt.Errorf("%w: %s", ErrNoToken, c.why)
	case c.err != nil:
		return Token{}, errors.New(r.about(c.source, c.note))
	}
	t, err := NewToken(c.text, r.trimVariable(organization))
	if err != nil { // the text was checked, so it is the organisation
		err = fmt.Errorf("variable %s: %w", tokentext.Shown(r.organizationVariable()), err)
	}
	return t, err
}

// noteChoice notes a choice that differs from the one before, which may be nil.
func (r *Resolver) noteChoice(notes *journal, old, now *snapshot, c choice) {
	switch {
	case old != nil && old.token == now.token && old.why == now.why:
	case c.source == variable && c.err != nil:
		// What the other sources have to say was noted when they were looked at.
		notes.add(c.level, r.about(variable, c.note))
	case now.token.IsZero():
	case c.dead != "":
		notes.add(slog.LevelWarn, "the session token is "+c.dead, "token", now.token, "source", sourceNames[c.source])
	default:
		notes.add(slog.LevelDebug, "session token found", "token", now.token, "source", sourceNames[c.source])
	}
}

// sleep waits for d, or less if there is something in wake, which may be nil, or if
// the context ends, which is an error. With a context that has ended it never waits.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-wake:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// ended says why a context ended.
func ended(ctx context.Context) error {
	return fmt.Errorf("find session token: %w", ctx.Err())
}
