package ingressauth

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/ingressauth/ingressauth/internal/jwt"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

const nounFile = "token file"

// place says where a source is: what to call it, and its name.
func (r *Resolver) place(source int) (noun, name string) {
	p := r.Profile.WithDefaults()
	noun = "variable"
	switch source {
	case variable:
		name = p.TokenVariable
	case descriptor:
		if d := r.inherited.Load(); d != nil {
			return d.noun, d.name
		}
		if n, _, ok := r.descriptorNumber(); ok {
			return "descriptor", strconv.Itoa(n)
		}
		name = p.DescriptorVariable
	case file:
		if path, _ := r.tokenFilePath(); path != "" {
			return nounFile, path
		}
		name = p.FileVariable
	}
	return noun, name
}

// about puts the place of a source before a message on it.
func (r *Resolver) about(source int, message string) string {
	noun, _ := r.place(source)
	return noun + " " + tokentext.Quoted(r.nameOf(source)) + ": " + message
}

// lookVariable is rule R1.
func (r *Resolver) lookVariable(value string) finding {
	if value == "" {
		return finding{note: "not set, or empty", level: slog.LevelDebug}
	}
	text := r.trimVariable(value)
	if text == "" {
		return finding{note: "nothing but white space", level: slog.LevelWarn}
	}
	f := findingOf(text)
	if text != value && f.err == nil {
		f.note = "the white space at its end was dropped"
	}
	return f
}

// findingOf is the finding of a text that is not empty.
func findingOf(text string) finding {
	if err := checkText(text); err != nil {
		return unusable(err)
	}
	return finding{text: text, expiry: expiryOf(text)}
}

// findingIn is the finding of the bytes of a descriptor or a file, which is empty
// where they are nothing but white space.
func findingIn(b []byte, empty finding) finding {
	text, err := tokentext.Decode(b)
	switch {
	case err != nil:
		return unusable(err)
	case text == "":
		return empty
	}
	return findingOf(text)
}

// unusable is the finding of a text that cannot be a token.
func unusable(err error) finding {
	return finding{err: err, note: err.Error(), level: slog.LevelError}
}

// descriptorNumber says which descriptor is to be read, and whether the program
// has named it. It reports false where the variable has no number.
func (r *Resolver) descriptorNumber() (n int, named, ok bool) {
	if r.Descriptor > 0 {
		return r.Descriptor, true, true
	}
	n, ok = tokentext.ParseDescriptor(os.Getenv(r.Profile.WithDefaults().DescriptorVariable))
	return n, false, ok
}

// noDescriptor is rules R3 and R4, where there is no descriptor to read.
func (r *Resolver) noDescriptor() finding {
	if os.Getenv(r.Profile.WithDefaults().DescriptorVariable) == "" {
		return finding{note: "not set, or empty", level: slog.LevelDebug}
	}
	return finding{note: "it holds no number, so nothing is found", level: slog.LevelError, last: true}
}

// lookDescriptor is rules R3, R4 and R5. Its outcome holds for the life of the
// resolver (R2). It is called in the slot.
func (r *Resolver) lookDescriptor(ctx context.Context, notes *journal) (finding, error) {
	if d := r.inherited.Load(); d != nil {
		return d.finding, nil
	}
	noun, name := r.place(descriptor)
	n, named, ok := r.descriptorNumber()
	var f finding
	var read *descriptorRead
	if !ok {
		f = r.noDescriptor()
	} else if d, err := readDescriptor(n, named, r.Compat); err != nil {
		f = cannotRead(err)
	} else {
		over, err := d.wait(ctx)
		switch {
		case err != nil:
			return finding{}, err
		case over:
			f = r.inDescriptor(d)
		default: // see pollPipe
			f = cannotRead(errors.New("another process read what was there"))
		}
		read = d
	}
	if f.note != "" {
		notes.add(f.level, r.about(descriptor, f.note))
	}
	r.inherited.Store(&inherited{f, noun, name, read})
	return f, nil
}

// inherited is what the descriptor held, and what it was called when it was read.
type inherited struct {
	finding
	noun, name string
	read       *descriptorRead // nil where there was none
}

// persist is rule R7, once for each read, of a token that is in use.
func (i *inherited) persist(r *Resolver, notes *journal) {
	if i.text != "" && i.read != nil {
		i.read.persist.Do(func() { r.persist(i.text, notes) })
	}
}

func cannotRead(err error) finding {
	return finding{note: "it cannot be read: " + err.Error(), level: slog.LevelError}
}

// inDescriptor is what a descriptor held that has been read.
func (r *Resolver) inDescriptor(d *descriptorRead) finding {
	if d.err != nil {
		return cannotRead(d.err)
	}
	if len(d.text) == 0 && (d.kind == kindPipe || d.kind == kindSocket) && !r.Compat {
		return finding{note: "at its end without a byte, so another process has read it", level: slog.LevelDebug}
	}
	return findingIn(d.text, finding{note: "it is empty, so nothing is found", level: slog.LevelError, last: true})
}

// tokenFilePath is the path of rule R6, and whether the file variable is set.
func (r *Resolver) tokenFilePath() (path string, set bool) {
	if f := r.file.Load(); f != nil {
		return f.path, f.set
	}
	p := r.Profile.WithDefaults()
	if path, set = os.LookupEnv(p.FileVariable); set {
		return path, true
	}
	return p.File, false
}

// tokenFile is what is known of the token file before the next look.
func (r *Resolver) tokenFile() tokenFile {
	if f := r.file.Load(); f != nil {
		return *f
	}
	path, set := r.tokenFilePath()
	return tokenFile{path: path, set: set}
}

// lookFile is rule R6, and follows the file. Under Compat the first outcome holds.
// It is called in the slot.
func (r *Resolver) lookFile(ctx context.Context, notes *journal) (finding, error) {
	old := r.tokenFile()
	if r.Compat && r.file.Load() != nil {
		return old.believed, nil
	}
	f, err := r.nextFile(ctx, old)
	if err != nil {
		return finding{}, err
	}
	r.file.Store(&f)
	if f.problem.note != "" && f.problem.note != old.problem.note {
		notes.add(f.problem.level, r.about(file, f.problem.note))
	}
	if f.believed.info != old.believed.info {
		if w := f.warnings(); len(w) > 0 && !slices.Equal(w, old.warnings()) {
			notes.add(slog.LevelWarn, r.about(file, strings.Join(w, "; ")))
		}
	}
	return f.believed, nil
}

// nextFile is what is known of the token file after another look. One that is
// being written is waited for where no old token can stand meanwhile. One that was
// changed is, too, if nobody has looked for long: a program that sends a request a
// minute would otherwise send one with the old token after every rotation.
func (r *Resolver) nextFile(ctx context.Context, f tokenFile) (tokenFile, error) {
	tries, old := settleTries, f.believed.text != ""
	if old {
		tries = 0
		if r.now().Sub(f.looked) >= idleTime {
			tries = 1
		}
	}
	f = f.next(r.now(), r.Compat)
	for ; tries > 0 && f.unsettled(); tries-- {
		if err := sleep(ctx, settleTime, nil); err != nil {
			if old {
				break
			}
			return f, err
		}
		f = f.next(r.now(), r.Compat)
	}
	return f, nil
}

// persist writes the token for others, and never makes their file an older one.
func (r *Resolver) persist(text string, notes *journal) {
	p := r.Profile.WithDefaults()
	// A phantom would take the place of a token that others have need of.
	if !isTrue(os.Getenv(p.RemoteVariable)) || phantom.Is(text) {
		return
	}
	if !r.Compat {
		if _, set := os.LookupEnv(p.FileVariable); set {
			return
		}
		if b, _, err := readTokenFile(p.File, false); err == nil && isNewer(tokentext.TrimSpace(string(b)), text) {
			return
		}
	}
	if err := writeTokenFile(p.File, text); err != nil {
		notes.add(slog.LevelWarn, "the token could not be written for subprocesses that do not inherit the descriptor",
			"path", tokentext.Shown(p.File), "err", readfile.WithoutPath(err))
	}
}

// isNewer reports whether a is a successor of b that ends later.
func isNewer(a, b string) bool {
	ca, _ := jwt.Peek(a)
	cb, _ := jwt.Peek(b)
	ta, ok := ca.Expiry.Time()
	tb, _ := cb.Expiry.Time()
	return ok && cb.Expiry.Known && ca.Succeeds(cb) && ta.After(tb)
}

// policy is what a choice depends on, as of now. It asks refused for what servers
// refused.
func (r *Resolver) policy(refused func(text string) bool) policy {
	path, set := r.tokenFilePath()
	return policy{compat: r.Compat, fileSet: set && path != "", refused: refused, now: r.now, about: r.about}
}
