package interop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ingressauth/ingressauth/verify"
)

const (
	differentialTokens = 100_000
	// What is generated is the same each time, but for keys and signatures, however
	// many cores there are.
	differentialStreams = 8
)

// TestDifferential gives 100,000 tokens, good, odd and broken, to the verifier and to
// three libraries. Where it accepts, one of them must, and they must read the same in
// the token. Where verdicts differ, the test must have a name for why.
func TestDifferential(t *testing.T) {
	signers := newSigners()
	v, all := ours(t, signers), libraries(t, signers)
	total := tally{accepted: map[string]int{}, differs: map[string]int{}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for stream := range differentialStreams {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(4, uint64(stream)))
			own := tally{accepted: map[string]int{}, differs: map[string]int{}}
			for n := 0; n < differentialTokens/differentialStreams && len(own.failures) < 5; n++ {
				own.judge(newDraft(r, signers).token(r), v, all)
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(own)
		})
	}
	wg.Wait()
	for _, f := range total.failures {
		t.Error(f)
	}
	t.Logf("%d tokens; accepted by: %v", differentialTokens, total.accepted)
	for _, why := range slices.Sorted(maps.Keys(total.differs)) {
		t.Logf("%7d %s", total.differs[why], why)
	}
	// A comparison of refusals alone, or one that never differs, would show nothing.
	for _, name := range []string{"ours", "golang-jwt", "go-jose", "jwx"} {
		if n := total.accepted[name]; n < differentialTokens/10 {
			t.Errorf("%s accepted %d tokens only", name, n)
		}
	}
	for _, s := range stricter {
		happened := false
		for _, reason := range s.reasons {
			happened = happened || total.differs[whyOurs(reason, s.name)] > 0
		}
		if !happened {
			t.Errorf("no token differed for this reason: ours, %s", s.name)
		}
	}
	for _, o := range others {
		if total.differs[whyRefuses(o.library, o.name)]+total.differs[whyReads(o.library, o.name)] == 0 {
			t.Errorf("no token differed for this reason: %s, %s", o.library, o.name)
		}
	}
}

// tally is what came of tokens.
type tally struct {
	accepted map[string]int // by whom
	differs  map[string]int // by why
	failures []string
}

func (s *tally) add(other tally) {
	for k, n := range other.accepted {
		s.accepted[k] += n
	}
	for k, n := range other.differs {
		s.differs[k] += n
	}
	s.failures = append(s.failures, other.failures...)
}

func (s *tally) fail(token, format string, args ...any) {
	s.failures = append(s.failures, fmt.Sprintf(format, args...)+"\n\t"+token+"\n\t"+describe(token))
}

// judge compares the verdicts on one token.
func (s *tally) judge(token string, v *verify.Verifier, all []library) {
	p, err := v.Verify(context.Background(), token)
	if err == nil {
		s.accepted["ours"]++
	}
	seen := look(token)
	var accept, refuse []string
	for _, l := range all {
		subject, expires, libErr := l.verify(token)
		if libErr != nil {
			refuse = append(refuse, l.name)
			continue
		}
		s.accepted[l.name]++
		accept = append(accept, l.name)
		// They drop fractions of seconds.
		if err == nil && (subject != p.Subject || p.ExpiresAt.Sub(expires).Abs() >= time.Second) {
			if why := seen.whyOther(l.name); why != "" {
				s.differs[whyReads(l.name, why)]++
			} else {
				s.fail(token, "%s reads %q until %v, and not %q until %v", l.name, subject, expires, p.Subject, p.ExpiresAt)
			}
		}
	}
	if err == nil {
		for _, d := range stricter {
			if d.name != anotherCase && d.is(seen) {
				s.fail(token, "ours accepts this, and it shows: %s", d.name)
			}
		}
	}
	switch {
	case err == nil && len(accept) == 0:
		s.fail(token, "ours alone accepts this")
	case err == nil:
		for _, name := range refuse {
			if why := seen.whyOther(name); why != "" {
				s.differs[whyRefuses(name, why)]++
			} else {
				s.fail(token, "%s refuses this, and the test has no name for why", name)
			}
		}
	case len(accept) > 0:
		var refusal *verify.Refusal
		errors.As(err, &refusal)
		if why := seen.whyOurs(refusal.Reason); why != "" {
			s.differs[whyOurs(refusal.Reason, why)]++
		} else {
			s.fail(token, "ours refuses (%v) what %v accept, and the test has no name for why", err, accept)
		}
	}
}

// How differences are called in a tally.
func whyOurs(reason verify.Reason, why string) string {
	return fmt.Sprintf("ours refuses (%s): %s", reason, why)
}
func whyRefuses(library, why string) string { return library + " refuses: " + why }
func whyReads(library, why string) string   { return library + " reads another thing: " + why }

// stricter is why ours alone may refuse, for which reasons, by what a look at the token
// shows that shares no code with the verifier. It refuses whatever shows one of these,
// but for anotherCase, which may be beside the right name.
var stricter = []struct {
	name    string
	reasons []verify.Reason
	is      func(sight) bool
}{
	{"base64url that another text encodes, too", malformed, func(s sight) bool { return !s.canonical }},
	{"not UTF-8", malformed, func(s sight) bool { return !utf8.ValidString(s.header) || !utf8.ValidString(s.payload) }},
	{"a member twice", malformed, func(s sight) bool { return hasTwice(s.header) || hasTwice(s.payload) }},
	{"a lone surrogate or a NUL by escape", malformed, func(s sight) bool { return hasOddEscape(s.header) || hasOddEscape(s.payload) }},
	{"deeper than 32", malformed, func(s sight) bool { return depth(s.payload) > 32 || depth(s.header) > 32 }},
	{"more than 128 members", malformed, func(s sight) bool { return len(s.claims) > 128 }},
	{"more than 256 members in all", malformed, func(s sight) bool { return members(s.payload) > 256 }},
	{"more than 128 audiences", []verify.Reason{verify.WrongAudience}, func(s sight) bool {
		var list []json.RawMessage
		json.Unmarshal(s.claims["aud"], &list)
		return len(list) > 128
	}},
	{"longer than 8 KiB", malformed, func(s sight) bool { return s.size > 8<<10 }},
	{"something behind the JSON", malformed, func(s sight) bool { return hasMore(s.header) || hasMore(s.payload) }},
	{"crit or b64", malformed, func(s sight) bool { return has(s.head, "crit", "b64") }},
	{"typ of something else", malformed, func(s sight) bool { return has(s.head, "typ") && !s.isJWT() }},
	{"no alg, or of another type", malformed, func(s sight) bool { return !isString(s.head["alg"]) }},
	{"a key in the header", []verify.Reason{verify.WrongKey}, func(s sight) bool { return has(s.head, "jwk", "jku", "x5c", "x5u") }},
	{"alg is not the key's", []verify.Reason{verify.WrongAlgorithm}, func(s sight) bool { return string(s.head["alg"]) != string(s.head["kid"]) }},
	{anotherCase, []verify.Reason{verify.WrongIssuer, verify.WrongAudience, verify.WrongClaim}, func(s sight) bool {
		return inAnotherCase(s.claims, "iss", "aud", "exp", "nbf", "iat", "sub")
	}},
	{"a date that is not digits", wrongClaim, func(s sight) bool { return s.dateIs(func(d string) bool { _, ok := digits(d); return !ok }) }},
	{"a date after the year 9999", wrongClaim, func(s sight) bool {
		return s.dateIs(func(d string) bool { f, _ := digits(d); return f > 253402300799 })
	}},
	{"a claim of another type", wrongClaim, func(s sight) bool {
		return slices.ContainsFunc([]string{"sub", "jti", "ccr:session_id", "ccr:org_id", "ccr:pool_id"}, func(name string) bool {
			return has(s.claims, name) && !isString(s.claims[name]) && string(s.claims[name]) != "null"
		})
	}},
	{"an actor of another type", wrongClaim, func(s sight) bool { return has(s.claims, "act") && !s.actorsAreSound() }},
	{"the session and the subject differ", wrongClaim, func(s sight) bool {
		var session, subject string
		json.Unmarshal(s.claims["ccr:session_id"], &session)
		json.Unmarshal(s.claims["sub"], &subject)
		id, ok := strings.CutPrefix(subject, "ccr:session:")
		return ok && session != "" && session != id
	}},
	{"longer than a day", []verify.Reason{verify.TooLongLived}, func(s sight) bool { return s.life() > 24*time.Hour }},
	{"the last second of the leeway", []verify.Reason{verify.Expired}, func(s sight) bool {
		f, _ := digits(string(s.claims["exp"]))
		last := float64(now.Add(-leeway).Unix())
		return f > last-1 && f <= last
	}},
	{"a fraction of a second to come", []verify.Reason{verify.NotYetValid}, func(s sight) bool {
		return slices.ContainsFunc([]string{"nbf", "iat"}, func(name string) bool {
			f, _ := digits(string(s.claims[name]))
			first := float64(now.Add(leeway).Unix())
			return f > first && f < first+1
		})
	}},
}

const anotherCase = "a claim's name in another case"

var (
	malformed  = []verify.Reason{verify.Malformed}
	wrongClaim = []verify.Reason{verify.WrongClaim}
)

// whyOurs says why ours may refuse the token for this reason, or "".
func (s sight) whyOurs(reason verify.Reason) string {
	for _, d := range stricter {
		if slices.Contains(d.reasons, reason) && d.is(s) {
			return d.name
		}
	}
	return ""
}

// others is why a library may refuse what ours accepts, or read another thing in it.
var others = []struct {
	library, name string
	is            func(sight) bool
}{
	{"golang-jwt", "it takes names in any case", func(s sight) bool {
		return inAnotherCase(s.claims, "iss", "aud", "exp", "nbf", "iat", "sub", "jti")
	}},
	{"golang-jwt", "it drops fractions of seconds", isInItsLastFraction},
	{"jwx", "it drops fractions of seconds", isInItsLastFraction},
	{"go-jose", "its nonce is a string", func(s sight) bool { return has(s.head, "nonce") && !isString(s.head["nonce"]) }},
	{"jwx", "its JSON must begin with a brace", func(s sight) bool { return s.header[0] != '{' || s.payload[0] != '{' }},
	{"jwx", "it reads all registered header parameters", func(s sight) bool {
		return slices.ContainsFunc([]string{"x5t", "cty"}, func(name string) bool { return has(s.head, name) && !isString(s.head[name]) })
	}},
	{"jwx", "null is no date and no string", func(s sight) bool {
		return slices.ContainsFunc([]string{"nbf", "iat", "sub", "jti"}, func(name string) bool { return string(s.claims[name]) == "null" })
	}},
}

// isInItsLastFraction reports whether the token is good for less than a second more.
func isInItsLastFraction(s sight) bool {
	f, _ := digits(string(s.claims["exp"]))
	last := float64(now.Add(-leeway).Unix())
	return f > last && f < last+1
}

// whyOther says why this library's verdict may be another, or "".
func (s sight) whyOther(library string) string {
	for _, d := range others {
		if d.library == library && d.is(s) {
			return d.name
		}
	}
	return ""
}

// sight is what a token shows at a look that forgives much.
type sight struct {
	size            int
	canonical       bool // each part is what its bytes encode to
	header, payload string
	head, claims    map[string]json.RawMessage
}

func look(token string) (s sight) {
	s.size, s.canonical = len(token), true
	parts := strings.Split(token, ".")
	for i, p := range parts {
		b, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil {
			b, _ = base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(p, "=")))
		}
		s.canonical = s.canonical && base64.RawURLEncoding.EncodeToString(b) == p
		switch i {
		case 0:
			s.header = string(b)
		case 1:
			s.payload = string(b)
		}
	}
	// The first value that is there, whatever follows.
	json.NewDecoder(strings.NewReader(s.header)).Decode(&s.head)
	json.NewDecoder(strings.NewReader(s.payload)).Decode(&s.claims)
	return s
}

func describe(token string) string {
	s := look(token)
	return fmt.Sprintf("%.200q . %.600q", s.header, s.payload)
}

func has(m map[string]json.RawMessage, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := m[n]; return ok })
}

func isString(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '"' }

func inAnotherCase(m map[string]json.RawMessage, names ...string) bool {
	for name := range m {
		if slices.ContainsFunc(names, func(n string) bool { return n != name && strings.EqualFold(n, name) }) {
			return true
		}
	}
	return false
}

func (s sight) isJWT() bool {
	var typ string
	err := json.Unmarshal(s.head["typ"], &typ)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return err == nil && isString(s.head["typ"]) && (typ == "jwt" || typ == "at+jwt")
}

// digits reads an unsigned number without an exponent.
func digits(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && strings.Trim(s, "0123456789.") == ""
}

func (s sight) dateIs(so func(string) bool) bool {
	return slices.ContainsFunc([]string{"exp", "nbf", "iat"}, func(name string) bool {
		raw := string(s.claims[name])
		return raw != "" && raw != "null" && so(raw)
	})
}

// life is how long the token lives, or what is left of that beyond the leeway.
func (s sight) life() time.Duration {
	exp, _ := digits(string(s.claims["exp"]))
	from, ok := digits(string(s.claims["iat"]))
	if !ok {
		from = float64(now.Add(leeway).Unix())
	}
	return time.Duration(min(exp-from, 1e9) * float64(time.Second))
}

func (s sight) actorsAreSound() bool {
	raw := s.claims["act"]
	for range 2 {
		if string(raw) == "null" || raw == nil {
			return true
		}
		var actor map[string]json.RawMessage
		if json.Unmarshal(raw, &actor) != nil {
			return false
		}
		for _, name := range []string{"sub", "email"} {
			if has(actor, name) && !isString(actor[name]) && string(actor[name]) != "null" {
				return false
			}
		}
		raw = actor["act"]
	}
	return true
}

// hasTwice reports whether an object in text has a member twice.
func hasTwice(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	var walk func() bool
	walk = func() bool {
		token, err := d.Token()
		if err != nil {
			return false
		}
		names := map[any]bool{}
		for (token == json.Delim('{') || token == json.Delim('[')) && d.More() {
			if token == json.Delim('{') {
				name, err := d.Token()
				if err != nil || names[name] {
					return err == nil
				}
				names[name] = true
			}
			if walk() {
				return true
			}
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			d.Token()
		}
		return false
	}
	return walk()
}

// hasMore reports whether something follows the JSON value that text begins with.
func hasMore(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	var first json.RawMessage
	if d.Decode(&first) != nil {
		return false
	}
	return strings.Trim(text[d.InputOffset():], " \t\r\n") != ""
}

// hasOddEscape reports whether text has an escape for a NUL, or for a surrogate that is
// not one of a pair.
func hasOddEscape(text string) bool {
	unit := func(s string) (n uint64, ok bool) {
		if len(s) < 6 || s[:2] != `\u` {
			return 0, false
		}
		n, err := strconv.ParseUint(s[2:6], 16, 16)
		return n, err == nil
	}
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 {
			return false
		}
		text = text[i:]
		n, ok := unit(text)
		switch {
		case !ok: // another escape
			text = text[min(2, len(text)):]
		case n == 0, n >= 0xDC00 && n < 0xE000:
			return true
		case n >= 0xD800 && n < 0xDC00:
			if low, ok := unit(text[6:]); !ok || low < 0xDC00 || low >= 0xE000 {
				return true
			}
			text = text[12:]
		default:
			text = text[6:]
		}
	}
}

// members counts those of all objects in text.
func members(text string) (n int) {
	var value any
	json.NewDecoder(strings.NewReader(text)).Decode(&value)
	var count func(any)
	count = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			n += len(v)
			for _, below := range v {
				count(below)
			}
		case []any:
			for _, below := range v {
				count(below)
			}
		}
	}
	count(value)
	return n
}

func depth(text string) (deepest int) {
	d := json.NewDecoder(strings.NewReader(text))
	for n := 0; ; {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			n++
		case json.Delim('}'), json.Delim(']'):
			n--
		}
		deepest = max(deepest, n)
	}
}
