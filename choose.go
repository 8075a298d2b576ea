package ingressauth

import (
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"
)

// The sources of a [Resolver], in order.
const (
	variable = iota
	descriptor
	file
	sources // how many there are
)

// sourceNames are the names of the sources in a [Report].
var sourceNames = [sources]string{"variable", "descriptor", "file"}

// finding is what a look at one source brought.
type finding struct {
	text   string // "" where there is no token
	expiry expiry

	err   error      // there is text, and it cannot be a token: nothing is found
	note  string     // why there is no token, or what was done to find it
	level slog.Level // at which note is logged
	last  bool       // nothing here, and the sources after it are not looked at

	info fs.FileInfo // of the token file
}

// policy is what a choice depends on beside the findings.
type policy struct {
	compat  bool                   // the first source wins, whatever it has
	fileSet bool                   // the file variable is set, so the file is this session's
	refused func(text string) bool // by a server, as [Resolver.Renew] was told
	now     func() time.Time       // asked only where a token names its expiry

	about func(source int, message string) string // puts the source's name first
}

// dead says why a token has lost its place: "expired", "refused", or "".
func (p policy) dead(f finding) string {
	switch {
	case p.compat:
		return ""
	case f.expiry.known && f.expiry.past(p.now()):
		return "expired"
	case p.refused(f.text):
		return "refused"
	}
	return ""
}

// choice is the outcome of a choice.
type choice struct {
	finding
	source int    // that wins; -1 where there is no token
	why    string // it wins, or why there is no token
	dead   string // what is wrong with the winner, "" if nothing is
	looked [sources]bool
}

// choose decides which source's token is used. It is the one place where that is
// decided, for [Resolver.Token] as for [Resolver.Explain]. It looks at no more
// sources than it must, in order, and fails only as look does.
//
// The first source that has a token wins, unless that token has expired or was
// refused. Then the next one wins that has a token which did neither, and which
// is its successor by issuer and subject, or, after a refusal, any token if the
// file variable is set. Where there is none, the first keeps its place.
func (p policy) choose(look func(source int) (finding, error)) (choice, error) {
	c := choice{source: -1}
	var old claims // of the token in c
	var none, notes []string
	for source := range sources {
		f, err := look(source)
		c.looked[source] = err == nil
		if err != nil {
			return c, err
		}
		switch {
		case f.text == "" && c.source >= 0:
			// Nothing here to replace the first.
		case f.err != nil:
			c.finding, c.source = f, source
			c.why = "its text cannot be a token, and the sources after it may be another session's"
			return c, nil
		case f.text == "":
			none = append(none, p.about(source, f.note))
			notes = append(notes, sourceNames[source]+": "+f.note)
		case c.source < 0:
			c.finding, c.source, c.dead = f, source, p.dead(f)
			c.why = "the first in order that has a token"
			if len(notes) > 0 {
				c.why += " (" + strings.Join(notes, "; ") + ")"
			}
			if c.dead == "" {
				return c, nil
			}
			old, _ = peek(f.text)
			c.why += fmt.Sprintf("; it is %s, and no later source has its successor", c.dead)
		case p.dead(f) == "":
			why := ""
			if its, _ := peek(f.text); its.succeeds(old) && its.expiry.known {
				why = "the successor, of the same issuer and subject, of the %s token of the %s"
			} else if c.dead == "refused" && p.fileSet {
				why = "a server %s the token of the %s, and the file variable is set, so that this one is of the same session"
			}
			if why != "" {
				why = fmt.Sprintf(why, c.dead, sourceNames[c.source])
				return choice{finding: f, source: source, why: why, looked: c.looked}, nil
			}
		}
		if f.last {
			break
		}
	}
	if c.source < 0 {
		c.why = strings.Join(none, "; ")
	}
	return c, nil
}
