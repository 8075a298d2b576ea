package ingressauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// Report is what [Resolver.Explain] found. It holds no token, and marshals to JSON
// for programs.
type Report struct {
	// Winner is the source whose token [Resolver.Token] would return: "variable",
	// "descriptor" or "file". It is "" where there is no token, or Undetermined.
	Winner string `json:"winner,omitempty"`
	// Undetermined says that the winner depends on what is in a descriptor that
	// nobody has read yet.
	Undetermined bool `json:"undetermined,omitempty"`
	// Why says why that source wins, or why there is no winner.
	Why string `json:"why"`
	// Sources are all the sources, in the order in which they are looked at.
	Sources []SourceReport `json:"sources"`
	// Warnings are what may surprise, a sentence each.
	Warnings []string `json:"warnings,omitempty"`
}

// SourceReport is what Explain found at one source.
type SourceReport struct {
	// Source is "variable", "descriptor" or "file".
	Source string `json:"source"`
	// Name says which one: the variable's name, the descriptor's number, or the
	// file's path, as it stands, unless it looks like a token.
	Name string `json:"name"`
	// LookedAt says that the winner depends on this source, so that
	// [Resolver.Token] would look at it. Explain looks at the others, too.
	LookedAt bool `json:"looked_at"`
	// Found says that there is a token here, and Wins that it is the one.
	Found bool `json:"found"`
	Wins  bool `json:"wins"`
	// Note says why there is no token, or what else is to be known.
	Note string `json:"note,omitempty"`

	// Unread says that the source is a pipe or a socket that cannot be looked
	// into without effect, and Waiting how many bytes are in it.
	Unread  bool `json:"unread,omitempty"`
	Waiting int  `json:"waiting,omitempty"`

	// Scheme, Fingerprint and Expiry are those of the token that was found. The
	// time is zero where the token names none.
	Scheme      Scheme    `json:"scheme,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"`
	Expiry      time.Time `json:"expiry,omitzero"`
	// Phantom says that it is no token, but what a broker gives in its place.
	Phantom bool `json:"phantom,omitempty"`

	// Mode is the file's mode in octal, as in "0600", and Owner the number of its
	// owner: of the token file, or of the file that the descriptor is open on. They
	// are "" where there is no file, or no such thing.
	Mode  string `json:"mode,omitempty"`
	Owner string `json:"owner,omitempty"`
}

// errUnread says that a choice depends on what is in a pipe or socket.
var errUnread = errors.New("it depends on what is in the descriptor, which nobody has read yet; it can be read only once")

// Explain says what [Resolver.Token] would do, and why, and what every source has.
// It has no effect: it reads files and nothing that can be read only once, logs
// nothing, and leaves what the resolver knows as it is. It never waits for a
// resolution under way; like Token it waits, a fifth of a second at most, for a
// file that is being written when it is first seen, unless the context ends.
func (r *Resolver) Explain(ctx context.Context) Report {
	var found [sources]finding
	var reports [sources]SourceReport
	found[variable] = r.lookVariable(os.Getenv(r.tokenVariable()))
	found[descriptor] = r.peekDescriptor(&reports[descriptor])
	f := r.peekFile(ctx)
	found[file] = f.believed

	policy := r.policy(r.refused.has)
	c, err := policy.choose(func(source int) (finding, error) {
		if reports[source].Unread {
			return finding{}, errUnread
		}
		return found[source], nil
	})
	report := Report{Why: c.why, Sources: reports[:]}
	if err != nil {
		report.Undetermined, report.Why = true, err.Error()
		c.looked[descriptor] = true
	} else if c.err != nil {
		report.Why = r.about(c.source, c.note) + "; " + c.why
	} else if c.source >= 0 {
		if _, err := r.token(c, os.Getenv(r.organizationVariable())); err != nil {
			report.Why = err.Error()
		} else {
			report.Winner = sourceNames[c.source]
		}
	}
	for source := range reports {
		s := &reports[source]
		s.Source = sourceNames[source]
		s.Name = r.nameOf(source)
		s.LookedAt, s.Wins = c.looked[source], s.Source == report.Winner
		s.describe(found[source], policy)
	}
	reports[file].describeFile(f)
	report.Warnings = r.warnings(reports, found, f)
	return report
}

// nameOf is the name of a source as it stands, unless it may be a token.
func (r *Resolver) nameOf(source int) string {
	noun, name := r.place(source)
	if tokentext.Looks(name) || noun == nounFile && looksMisplaced(name) {
		return tokentext.Hidden
	}
	return name
}

// peekDescriptor is lookDescriptor without effect. It says in s whether the
// descriptor has yet to be read.
func (r *Resolver) peekDescriptor(s *SourceReport) finding {
	n, named, ok := r.descriptorNumber()
	if d := r.inherited.Load(); d != nil {
		if ok && d.name == strconv.Itoa(n) {
			s.Mode, s.Owner = describeDescriptor(n)
		}
		return d.finding
	}
	if !ok {
		return r.noDescriptor()
	}
	if err := checkNumber(n, r.Compat); err != nil {
		return cannotRead(err)
	}
	if d := readOf(n); d != nil {
		if err := d.check(r.Compat); err != nil {
			return cannotRead(err)
		}
		select {
		case <-d.done:
			s.Mode, s.Owner = describeDescriptor(n)
			return r.inDescriptor(d)
		default:
			s.Unread = true
			return finding{note: "it is being read"}
		}
	}
	kind, err := checkDescriptor(n, named, r.Compat)
	if err != nil {
		return cannotRead(err)
	}
	d := &descriptorRead{kind: kind}
	switch kind {
	case kindFile:
		reader, err := openDescriptor(n, kind, !r.Compat)
		if err != nil {
			return cannotRead(err)
		}
		defer reader.close()
		s.Mode, s.Owner = describeDescriptor(n)
		d.text, d.err = readToEnd(reader.read)
	case kindPipe, kindSocket:
		if r.Compat && !canReopen(n, kind) {
			return cannotRead(errNoPath)
		}
		waiting, ended, err := peekStream(n, kind)
		if err != nil {
			return cannotRead(err)
		}
		if !ended {
			s.Unread, s.Waiting = true, waiting
			return finding{note: "unread " + string(kind)}
		}
	}
	return r.inDescriptor(d)
}

// peekFile is lookFile without effect.
func (r *Resolver) peekFile(ctx context.Context) tokenFile {
	f := r.tokenFile()
	if r.Compat && r.file.Load() != nil {
		return f
	}
	f, _ = r.nextFile(ctx, f) // should the context end, that much is known
	return f
}

// describe fills in what was found.
func (s *SourceReport) describe(f finding, p policy) {
	s.Note = f.note
	t, err := NewToken(f.text, "")
	if err != nil {
		return // no text: there is no other error, since a finding's text was checked
	}
	s.Found, s.Scheme, s.Fingerprint = true, t.Scheme(), t.Fingerprint()
	s.Expiry, _ = t.Expiry()
	s.Phantom = phantom.Is(f.text)
	if dead := p.dead(f); dead != "" {
		s.Note = dead
	}
}

// describeFile adds what is known of the file itself.
func (s *SourceReport) describeFile(f tokenFile) {
	if s.Found && f.problem.note != "" {
		s.Note = "what it held before stands, since now: " + f.problem.note
	}
	info := f.believed.info
	if info == nil {
		var err error
		if info, err = os.Stat(f.path); err != nil {
			return
		}
	}
	s.Mode = modeOf(info)
	if uid, ok := ownerOf(info); ok {
		s.Owner = strconv.Itoa(uid)
	}
}

// warnings are what may surprise, of what was found.
func (r *Resolver) warnings(reports [sources]SourceReport, found [sources]finding, f tokenFile) []string {
	var w []string
	warn := func(source int, format string, args ...any) {
		w = append(w, r.about(source, fmt.Sprintf(format, args...)))
	}
	for source, f := range found {
		if f.expiry.Known && f.expiry.Past(r.now()) {
			warn(source, "its token expired at %s", reports[source].Expiry.Format(time.RFC3339))
		}
		if f.text == "" && f.level >= slog.LevelWarn {
			warn(source, "%s", f.note)
		}
	}
	v, inFile := found[variable], found[file]
	if v.note != "" && v.text != "" {
		warn(variable, "%s", v.note)
	}
	if v.text != "" && inFile.text != "" && v.text != inFile.text && reports[variable].Wins {
		warn(file, "it holds another token, which is not used while the variable has one")
	}
	for _, warning := range f.warnings() {
		warn(file, "%s", warning)
	}
	return w
}
