package control

import (
	"bytes"
	"encoding/json"
)

// watcher goes over a line that parse cannot read, as it is broken or too long, and
// looks for what says that it may be a message. It forgives what is no JSON, and may
// be given the line in pieces: it keeps no more of it than a name.
type watcher struct {
	allows func(name string) bool // may be set

	line  scanner
	ended bool   // the object, or there is none
	text  []byte // of the string that it is in, if that matters
	name  string // of the member that it is in
	value bool   // after the colon

	ours      bool // a "type" of the value
	other     bool // a "type" of another value
	variables bool // "variables" has begun
	named     bool // what may be set is named in it
}

// maxName bounds what is kept of a string. Nothing that is looked for is as long,
// escaped neither.
const maxName = 4 << 10

// tells reports whether it has seen what makes a line a message, in doubt as well:
// the value of a token comes after the name.
func (w *watcher) tells() bool { return w.ours || w.named && !w.other }

// suspects reports whether the line may be a message even if it does not tell yet.
func (w *watcher) suspects() bool { return w.ours || w.variables && !w.other }

// scan goes on until it tells, and returns after how many bytes that is.
func (w *watcher) scan(b []byte) int {
	for i := 0; i < len(b) && !w.ended; i++ {
		if w.line.quoted && !w.line.escaped && !w.matters() {
			// Most of what is long is text.
			n := bytes.IndexAny(b[i:], `"\`)
			if n < 0 {
				break
			}
			i += n
		}
		if w.step(b[i]); w.tells() {
			return i + 1
		}
	}
	return len(b)
}

// whole goes over all of it. What comes later may say that it is no message.
func (w *watcher) whole(b []byte) {
	for _, c := range b {
		w.step(c)
	}
}

// step goes over a byte.
func (w *watcher) step(c byte) {
	switch {
	case w.ended:
		return
	case w.line.depth == 0: // white space before the object
		w.ended = c != '{' && !isSpace(c)
		w.line.step(c)
		return
	}
	quoted := w.line.quoted
	w.line.step(c)
	switch {
	case quoted && !w.line.quoted:
		w.unquote()
	case quoted:
		if w.matters() && len(w.text) < maxName {
			w.text = append(w.text, c)
		}
	case w.line.quoted:
		w.text = w.text[:0]
	case w.line.depth == 0:
		w.ended = true
	case w.line.depth == 1 && c == ':':
		w.value = true
	case w.line.depth == 1 && c == ',':
		w.name, w.value = "", false
	case w.value && w.name == "type" && !isSpace(c):
		w.other = true
	}
}

// matters reports whether the string that it is in does: a top-level name or type,
// or anything in "variables", since those may be of another kind than they should.
func (w *watcher) matters() bool {
	return w.line.depth == 1 && (!w.value || w.name == "type") || w.name == "variables"
}

// unquote looks at the string that has ended.
func (w *watcher) unquote() {
	if !w.matters() {
		return
	}
	s := string(w.text)
	if bytes.IndexByte(w.text, '\\') >= 0 {
		// What cannot be unescaped is none of the names.
		_ = json.Unmarshal([]byte(`"`+s+`"`), &s)
	}
	switch {
	case w.line.depth == 1 && !w.value:
		w.name = s
		w.variables = w.variables || s == "variables"
	case w.name == "type":
		w.ours = w.ours || s == updateType
		w.other = w.other || s != updateType
	default:
		w.named = w.named || w.allows(s)
	}
}
