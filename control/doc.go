// Package control speaks the control channel: lines among those of a program's
// standard input by which its parent replaces environment variables while it runs.
// A [Reader] is for the program, a [Writer] for the parent.
//
// # The message
//
// A message is one JSON object (RFC 8259) on one line:
//
//	{"type":"update_environment_variables","variables":{"NAME":"VALUE"}}
//
// JSON white space may stand anywhere, other members are ignored, and their values
// may be nested to any depth. A line ends with LF, before which CR is white space, or
// with the input. It has at most 1 MiB without its LF; a longer one is never applied,
// whatever it says.
//
// A line is of this type if it begins with an object that has a member "type" of this
// value, however either is escaped, as far as it can be parsed. It is malformed, and
// none of it is applied, if
//
//   - it is not JSON, not UTF-8, or goes on after the object;
//   - a value that may be set holds U+FFFD, which half a surrogate pair becomes;
//   - it has "type" or "variables" twice, or a variable, or lacks "variables";
//   - "variables" is not an object of strings, null included;
//   - a value that may be set is none that its variable can have: a token that no
//     header can carry, say, or a NUL. [ingressauth.Resolver.UpdateVariables] has the
//     conditions.
//
// Every other line is the program's own, be it JSON, text or bytes, NUL included.
//
// # In doubt
//
// A [Reader] that consumes messages also consumes a line that may well be one, since
// a token may be in it, and logs it as malformed:
//
//   - A line that begins with an object that is not JSON, or broken off, before it has
//     the "type" of a message: if it has that later, or if "variables" in it name
//     what may be set and it has no other "type".
//   - An object of more than 1 MiB, if what has come by then has the "type" of a
//     message, even beside another one, or if it has "variables" and no "type" yet.
//   - The rest of such an object, if only later it has the "type" of a message, or
//     names in "variables" what may be set and had no other "type" before. What had
//     come before that was passed on, and has no token in it; the LF is passed on, too.
//
// Every other line comes through unchanged, however long it is. A long object that has
// another "type" is the program's own until that of a message follows, which no
// program writes; "variables" before that come through.
package control

const (
	// updateType is the member "type" of a message.
	updateType = "update_environment_variables"
	// maxLine bounds a message, in bytes without its LF.
	maxLine = 1 << 20
)
