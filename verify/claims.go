package verify

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Claims that name a session, and its environment.
const (
	claimSession     = "ccr:session_id"
	claimEnvironment = "ccr:pool_id"
)

// acceptedIn returns the first of the accepted audiences that is in aud, which is a
// string or an array of strings (RFC 7519, section 4.1.3).
func acceptedIn(aud value, accepted []string) (audience string, ok bool) {
	if one, isString := aud.str(); isString {
		return one, slices.Contains(accepted, one)
	}
	list, _ := aud.elements(maxMembers)
	for _, v := range list {
		one, isString := v.str()
		if !isString {
			return "", false
		}
		if !ok && slices.Contains(accepted, one) {
			audience, ok = one, true
		}
	}
	return audience, ok
}

// readClaims checks the required claims, fills in p, and returns the "nbf", which may
// be zero. If a claim is wrong, it returns its name. Times are read and not judged.
func (i *Issuer) readClaims(p *Principal, claims []member) (notBefore time.Time, wrong string) {
	for _, c := range i.required {
		if s, ok := lookUp(claims, c.name).str(); !ok || s != c.want {
			return time.Time{}, c.name
		}
	}
	var act value
	for _, c := range claims {
		if c.value == "null" {
			continue // as if it were not there
		}
		ok := true
		switch c.name {
		case "exp":
			p.ExpiresAt, ok = c.value.date()
		case "nbf":
			notBefore, ok = c.value.date()
		case "iat":
			p.IssuedAt, ok = c.value.date()
		case "sub":
			p.Subject, ok = c.value.str()
		case "jti":
			p.TokenID, ok = c.value.str()
		case claimSession:
			p.Session, ok = c.value.str()
		case "ccr:org_id":
			p.Organization, ok = c.value.str()
		case claimEnvironment:
			p.Environment, ok = c.value.str()
		case "act":
			act = c.value
		}
		if !ok {
			return time.Time{}, c.name
		}
	}
	if p.ExpiresAt.IsZero() {
		return time.Time{}, "exp"
	}
	if id, ok := strings.CutPrefix(p.Subject, "ccr:session:"); ok {
		if p.Session != "" && p.Session != id {
			return time.Time{}, "sub"
		}
		p.Session = id
	}
	return notBefore, p.readActors(act, claims[len(claims):])
}

// checkSession checks what only tokens of self-hosted sessions must have: a session, the
// time of their issue, and an environment that is both in "aud" and accepted.
func (i *Issuer) checkSession(p *Principal, aud value, audience string) (wrong string) {
	switch {
	case p.Session == "":
		return claimSession
	case p.IssuedAt.IsZero():
		return "iat"
	case p.Environment == "":
		p.Environment = audience
		return ""
	case p.Environment == audience:
		return "" // as in nearly every token
	}
	if _, ok := acceptedIn(aud, []string{p.Environment}); !ok || !slices.Contains(i.Audiences, p.Environment) {
		return claimEnvironment
	}
	return ""
}

// readActors fills in the creator and the runner, who are the two outermost actors.
func (p *Principal) readActors(act value, room []member) (wrong string) {
	if act == "" {
		return ""
	}
	sub, email, next, ok := readActor(act, room)
	if !ok {
		return "act"
	}
	kind, id, _ := strings.Cut(sub, ":")
	if k := CreatorKind(kind); id != "" && (k == User || k == Agent) {
		p.Creator = Creator{k, id, email}
	}
	if next == "" {
		return ""
	}
	sub, _, _, ok = readActor(next, room)
	if !ok {
		return "act.act"
	}
	if id, ok := strings.CutPrefix(sub, "ccr:runner:"); ok {
		p.Runner = id
	}
	return ""
}

// readActor reads one actor of a chain.
func readActor(act value, room []member) (sub, email string, next value, ok bool) {
	members, ok := act.fields(room, maxOfToken)
	if !ok {
		return "", "", "", false
	}
	for _, m := range members {
		if m.value == "null" {
			continue // as if it were not there
		}
		switch m.name {
		case "sub":
			sub, ok = m.value.str()
		case "email":
			email, ok = m.value.str()
		case "act":
			next = m.value
		}
		if !ok {
			return "", "", "", false
		}
	}
	return sub, email, next, true
}

// checkTimes says why p is not good now, or "".
func (i *Issuer) checkTimes(p *Principal, notBefore, now time.Time) Reason {
	switch {
	case !now.Before(p.ExpiresAt.Add(i.Leeway)):
		return Expired
	case notBefore.After(now.Add(i.Leeway)), p.IssuedAt.After(now.Add(i.Leeway)):
		return NotYetValid
	}
	life := p.ExpiresAt.Sub(p.IssuedAt)
	if p.IssuedAt.IsZero() {
		// How long it lives is not known. What is left of that is, as far as
		// clocks agree.
		life = p.ExpiresAt.Sub(now) - i.Leeway
	}
	if life > i.MaxLife {
		return TooLongLived
	}
	return ""
}

// goodFrom returns since when checkTimes finds nothing wrong with p, until it ends.
func (i *Issuer) goodFrom(p *Principal, notBefore time.Time) time.Time {
	from := notBefore
	switch {
	case p.IssuedAt.IsZero():
		if t := p.ExpiresAt.Add(-i.MaxLife); t.After(from) {
			from = t
		}
	case p.IssuedAt.After(from):
		from = p.IssuedAt
	}
	return from.Add(-i.Leeway)
}

// nanoseconds returns t since the Unix epoch, or the nearest that there is for it: until the
// year 2262, long before which no token will be good.
func nanoseconds(t time.Time) int64 {
	const whole = math.MaxInt64 / int64(time.Second)
	switch s := t.Unix(); {
	case s >= whole:
		return math.MaxInt64
	case s <= -whole:
		return math.MinInt64
	}
	return t.UnixNano()
}

// date reads a NumericDate (RFC 7519, section 2): seconds since the Unix epoch, as
// digits that may have a fraction, up to the year 9999. It reports false for anything
// else: no issuer writes a sign or an exponent there.
func (v value) date() (time.Time, bool) {
	const last = 253402300799 // 9999-12-31T23:59:59Z
	whole, fraction, _ := strings.Cut(string(v), ".")
	if whole == "" || len(whole) > len("253402300799") {
		return time.Time{}, false
	}
	var seconds, nanoseconds int64
	for _, c := range []byte(whole) {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		seconds = seconds*10 + int64(c-'0')
	}
	unit := int64(time.Second)
	for _, c := range []byte(fraction) {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		unit /= 10
		nanoseconds += unit * int64(c-'0')
	}
	return time.Unix(seconds, nanoseconds).UTC(), seconds <= last
}
