// Package broker keeps a session's token from the programs that need only its effect.
//
// A [Broker] is an HTTP proxy on this machine. It holds the token, and puts it on the requests
// that it sends on to the upstreams that it was given. The programs that use it are its children.
// A child has a phantom in place of the token: a random text that comes by the same ways as a
// token, is sent like one, and is worth something to this broker alone, until the child is
// removed. The phantom stays the same when the token is replaced.
//
// # Use
//
// [New] makes a Broker of a [Config]: a source of the token, and at least one [Route].
// [Broker.Listen] opens an address. [Broker.Add] adds a [Child]; give it [Child.Phantom] as you
// would give it a token, with package launch say, and [Listener.URL] as its base URL.
// [Child.Remove] ends a child and all that it has open, [Broker.Close] everything. All may be
// called by many goroutines at once. The command 'ingressauth broker' is this package with flags,
// and 'ingressauth run --deliver broker' starts a command with one.
//
// # Who may use it
//
// On a port, which is always one of a loopback address: whoever sends the phantom of a child.
// Every process of this machine can connect there. Pages in a browser are refused: Host must be
// this machine with that port, and so must Origin, if there is one.
//
// On a Unix socket, which has mode 0600 in a directory of mode 0700: whoever sends the phantom of a
// child. If a child has a [ChildConfig.Supervisor], on Linux 6.5 and later, the kernel says which
// process has connected. What descends from the supervisor needs no phantom then, unless
// [Config.RequirePhantom] is set; and the phantom of that child is good from there alone. This is
// looked at when a connection is made: a process that hands it to another lets that use it.
//
// OPTIONS * is about the broker itself: the answer is 204 if the sender may use it.
//
// # What is changed
//
// A phantom is taken from "Authorization: Bearer" or from the cookie "sessionKey". The token comes
// in the way of its own scheme, with the organisation that belongs to it. Other cookies and fields
// stay, but for those of the connection (RFC 9110, section 7.6.1), which ends here, and Origin on a
// port. The prefix of a route is taken off the path, and dot segments and needless encoding are
// resolved; a query stays as it is. No Via and no Forwarded is added. A connection becomes a
// WebSocket, and nothing else: other upgrades are ignored.
//
// If the upstream answers 401 and the source is an [ingressauth.Renewer], it is asked for another
// token, and the request is sent once more, if its body is not longer than 64 KiB. What of that has
// not come yet is waited for, for five seconds, unless the client waits for 100 (Continue).
//
// Answers pass as they come: streams piece by piece, trailers, WebSockets, and, to clients of
// HTTP/1.1, what comes before an answer (1xx). The last 16 tokens are taken out of header and
// trailer, and so is any Set-Cookie of "sessionKey". [Config.ScrubBodies] looks into bodies, too.
//
// # What is refused
//
// A refusal is a problem (RFC 9457) whose type ends in a [Reason]. The broker refuses:
//
//   - what can be read in more than one way: two lengths, a bare line feed, a folded line, a name
//     with "_" or "." that stands for another, a target that Host contradicts
//   - TRACE, TRACK and CONNECT
//   - a credential that is no phantom; with [Config.PassForeign] it is sent on, without the token, on
//     a port from whoever can connect
//   - paths that no route is for, or that its rules ([Route.Allow]) do not allow
//   - with rules, paths that servers read in different ways, and fields that name another method
//     or path
//
// # Limits
//
// A header has 64 KiB at most ([Config.MaxHeader]), and must be whole within ten seconds; that of
// an answer has 64 KiB at most, too, but with a Transport of your own. A body is as long as it
// likes ([Config.MaxBody]), and is not kept, unless it is short. An upstream has ten minutes to
// begin an answer ([Config.AnswerTime]). A client that takes nothing at all of what is sent to it
// for ten minutes, does not go on with a body for as long (HTTP/1.1), or asks for nothing for two,
// is let go; one stream of HTTP/2 may stall for as long as its connection is in use. A listener has
// 4096 connections at once; more wait. What goes on, a WebSocket say, has the token that it was
// begun with, unless [Config.CloseOnRotate] is set.
//
// # What it does not do
//
// Whoever may use a broker uses the token: it cannot be carried away, but requests can be sent with
// it. Rules say which. A child that can read the memory, the environment or the files of who holds
// the token has it all the same, which is for whoever starts it to prevent ('ingressauth run
// --confine' and --user do). An upstream that shows what it was sent, encoded, in pieces or in a
// WebSocket, shows the token; without ScrubBodies a plain body does, too.
//
// # What is told
//
// [Config.Observe] gets a [Record] of each request that has ended; [AccessLog] writes them as lines
// of JSON. [Broker.Metrics] has counters in the text form of OpenMetrics. There is no token in any of
// that, nor in what is logged.
package broker
