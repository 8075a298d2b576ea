package broker

import (
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ingressauth/ingressauth"
)

// knownTokens are the tokens that may be good still.
type knownTokens struct {
	lock sync.Mutex // for changes
	now  atomic.Pointer[tokenSet]
}

// tokenSet is what is known of them. It does not change.
type tokenSet struct {
	tokens []*sentToken // newest last
	texts  []string     // theirs, the longest first
}

// sentToken is one that was sent, or is about to be.
type sentToken struct {
	token ingressauth.Token
	text  string
}

func (g *knownTokens) load() *tokenSet {
	if now := g.now.Load(); now != nil {
		return now
	}
	return &tokenSet{}
}

// note takes a token in, if it is another one.
func (g *knownTokens) note(t ingressauth.Token) {
	if now := g.load(); len(now.tokens) > 0 && now.tokens[len(now.tokens)-1].token == t {
		return
	}
	g.lock.Lock()
	defer g.lock.Unlock()
	kept := make([]*sentToken, 0, maxGenerations)
	for _, other := range g.load().tokens {
		if other.token != t {
			kept = append(kept, other)
		}
	}
	next := &tokenSet{tokens: append(kept[max(0, len(kept)+1-maxGenerations):], &sentToken{t, t.Reveal()})}
	for _, s := range next.tokens {
		next.texts = append(next.texts, s.text)
	}
	sort.Slice(next.texts, func(i, j int) bool { return len(next.texts[i]) > len(next.texts[j]) })
	g.now.Store(next)
}

// all returns their texts, the longest first. The slice does not change.
func (g *knownTokens) all() []string { return g.load().texts }

// find returns the one with which a header is sent.
func (g *knownTokens) find(h http.Header) *sentToken {
	for _, s := range slices.Backward(g.load().tokens) {
		if carries(h["Authorization"], "Bearer ", s.text) || carries(h["Cookie"], cookieName+"=", s.text) {
			return s
		}
	}
	return nil
}

// carries reports whether a field ends with this, where [ingressauth.Token.SetHeader] puts it.
func carries(values []string, intro, text string) bool {
	for _, value := range values {
		if rest, ok := strings.CutSuffix(value, text); ok && strings.HasSuffix(rest, intro) {
			return true
		}
	}
	return false
}
