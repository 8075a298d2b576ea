package ingressauth

import (
	"slices"
	"sync"
	"sync/atomic"
)

// maxRefusals is how many refused texts are remembered. One that a source still
// holds is met again and again, and so never among the oldest.
const maxRefusals = 64

// refusals are the tokens that servers refused. The lock is held for moments only,
// so that nobody who renews or updates waits behind a pipe.
type refusals struct {
	changes atomic.Uint64 // how often tokens became others

	lock   sync.Mutex
	tokens []Token // the one that was met last is last
}

// add remembers that a server refused this token's text.
func (r *refusals) add(t Token) {
	if r.meet(t.Reveal()) {
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.tokens = append(r.tokens, t)
	if n := len(r.tokens) - maxRefusals; n > 0 {
		r.tokens = slices.Delete(r.tokens, 0, n)
	}
	r.changes.Add(1)
}

// remove forgets that a server refused this text.
func (r *refusals) remove(text string) {
	r.lock.Lock()
	defer r.lock.Unlock()
	n := len(r.tokens)
	r.tokens = slices.DeleteFunc(r.tokens, func(t Token) bool { return t.Reveal() == text })
	if len(r.tokens) != n {
		r.changes.Add(1)
	}
}

// has reports whether a server refused this text.
func (r *refusals) has(text string) bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.index(text) >= 0
}

// meet is has, and makes the text the one that was met last.
func (r *refusals) meet(text string) bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	i := r.index(text)
	if i < 0 {
		return false
	}
	t := r.tokens[i]
	r.tokens = append(slices.Delete(r.tokens, i, i+1), t)
	return true
}

// index is where in tokens a text is, or -1. It needs the lock.
func (r *refusals) index(text string) int {
	return slices.IndexFunc(r.tokens, func(t Token) bool { return t.Reveal() == text })
}
