package ingressauth

import (
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth/internal/jwt"
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
	expiry jwt.Date

	err   error      // there is text, and it cannot be a token: nothing is found
	note  string     // why there is no token, or what was done to find it
	level slog.Level // at which note is logged
	last  bool       // nothing here, and the sources after it are not looked at

	info fs.FileInfo // of the token file
}

// policy is what a choice depends on beside the findings.
type policy struct {
	compat  bool                   // the first source wins, whatever it has
	fileSet bool                   // the file variable names a file, which is then this session's
	refused func(text string) bool // by a server, as [Resolver.Renew] was told
	now     func() time.Time       // asked only where a token names its expiry

	about func(source int, message string) string // puts the source's name first
}

// dead says why a token has lost its place: "expired", "refused", or "".
func (p policy) dead(f finding) string {
	switch {
	case p.compat:
		return ""
	case p.refused(f.text): // also if it has expired since
		return "refused"
	case f.expiry.Known && f.expiry.Past(p.now()):
		return "expired"
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
// refused. Then its successor wins, by issuer and subject, if a later source has
// it; else, after a refusal and if the file variable names it, the file. What takes
// the place has neither expired nor been refused. Where there is none, the first
// source keeps its place.
func (p policy) choose(look func(source int) (finding, error)) (choice, error) {
	c := choice{source: -1}
	var before, all, loud []string // why the sources so far have nothing
	for source := range sources {
		f, err := look(source)
		if err != nil {
			return c, err
		}
		c.looked[source] = true
		switch {
		case f.err != nil:
			c.finding, c.source = f, source
			c.why = "its text cannot be a token, and what comes after it may be of another session"
			return c, nil
		case f.text != "":
			c.finding, c.source, c.dead = f, source, p.dead(f)
			c.why = "the first in order that has a token"
			if len(before) > 0 {
				c.why += " (" + strings.Join(before, "; ") + ")"
			}
			if c.dead != "" {
				return p.replace(c, look)
			}
			return c, nil
		}
		before = append(before, sourceNames[source]+": "+f.note)
		all = append(all, p.about(source, f.note))
		if f.level > slog.LevelDebug {
			loud = append(loud, p.about(source, f.note))
		}
		if f.last {
			break
		}
	}
	if len(loud) > 0 {
		all = loud // what went wrong explains more than what is not there
	}
	c.why = strings.Join(all, "; ")
	return c, nil
}

// replace is the rest of a choice whose first token is dead.
func (p policy) replace(c choice, look func(source int) (finding, error)) (choice, error) {
	dead, of := c.dead, sourceNames[c.source]
	old, _ := jwt.Peek(c.text)
	for source := c.source + 1; source < sources; source++ {
		vouched := source == file && dead == "refused" && p.fileSet
		if !vouched && (old.Issuer == "" || old.Subject == "") {
			continue // whatever is there could not win
		}
		f, err := look(source)
		if err != nil {
			return c, err
		}
		c.looked[source] = true
		if f.last && !(dead == "refused" && p.fileSet) {
			break
		}
		if f.text == "" || p.dead(f) != "" {
			continue
		}
		its, _ := jwt.Peek(f.text)
		why := ""
		if its.Succeeds(old) && its.Expiry.Known {
			why = "the successor, of the same issuer and subject, of the " + dead + " token of the " + of
		} else if vouched {
			why = "a server refused the token of the " + of + ", and the file variable names this file"
		}
		if why != "" {
			return choice{finding: f, source: source, why: why, looked: c.looked}, nil
		}
	}
	c.why += "; it is " + dead + ", and nothing may take its place"
	return c, nil
}
