// Package refresh gets tokens from where they are issued, and renews them before they end.
//
// Where they are from is a source: a [Command] that prints one, an OAuth 2.0 token endpoint
// ([Endpoint]), or a [File] that somebody else keeps fresh. Each is an [ingressauth.Renewer],
// and does its work at every call. So put a [Refresher] around the first two, which keeps a token
// and has it renewed in the background, and give that to a [ingressauth.Transport]:
//
//	r, err := refresh.New(refresh.Config{Source: source})
//	defer r.Close()
//	client := &http.Client{Transport: &ingressauth.Transport{Source: r, Origins: origins}}
//
// # When it renews
//
// A token's end is the earlier of what the endpoint said ("expires_in") and what the token says
// itself ("exp" of a JWT, unverified). A token is renewed when between three and four fifths of
// its life have passed, at random, so that many refreshers do not ask at once; or after
// [Config.Interval], if that is sooner; or when a server has refused it. Attempts are a second
// apart at least, or four fifths of an interval that is shorter.
//
// If that fails, it is tried again: after a second or so, then ever more rarely, a minute apart
// at most, and more often as the end comes near. Where an endpoint asks for rest (Retry-After), it
// gets that, and a minute or a little more where it says what only a person can mend: that it does
// not believe the client, say. The old token serves until its end, and not a
// moment longer. From then on [Refresher.Token] returns why.
//
// Time is taken from two clocks. A token has ended when either says so: the monotonic one, which
// nobody sets, or the wall clock, which runs on while a machine is suspended. So neither a
// suspended machine nor a clock that is set has a dead token stay in use.
//
// # What it does not take
//
//   - The same text again is no new generation. If the source says anew how long it is good, that
//     counts; else it is asked again when some more of the remaining life has passed. After a
//     refusal it is a failure.
//   - An older token (by "iat", or else by "exp") is a failure while the last one is good and was
//     not refused.
//   - A token of another session is a failure always: of two JWTs whose issuers or subjects
//     differ, or of two session keys whose organisations do, also where one that says nothing
//     of that came between. Make a new Refresher for another session.
//   - A token that has ended is a failure.
package refresh
