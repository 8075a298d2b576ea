// Package ingressauth finds the session token of a program that runs inside an
// agent's session, keeps finding it when it is replaced, and makes request headers
// of it. ("Ingress" is the session's way into a service; this has nothing to do
// with Kubernetes Ingress objects.)
//
// Most programs need one call:
//
//	header, err := ingressauth.Default.Header(ctx)
//
// Call it for each request and keep nothing: an answer costs about as much as
// reading two environment variables, and a token that was kept goes stale when a
// parent process replaces it.
//
// # The rules
//
// A [Resolver] looks at three sources, whose names a [Profile] can change. White
// space is what ECMAScript trims.
//
//   - R1: The token variable, if it is not empty, is the token. It is looked at on
//     every call.
//   - R2: Otherwise the outcome of R3 to R6 holds for the life of the process, as a
//     descriptor can be read only once.
//   - R3: If the descriptor variable is not set, or empty, the token file is read.
//   - R4: Otherwise it names a descriptor: white space, a sign and decimal digits;
//     the rest is ignored. Without a digit nothing is found.
//   - R5: The descriptor is read to its end and trimmed. If it is empty, nothing is
//     found. If it cannot be read, the token file is.
//   - R6: The token file is at the path in the file variable if that is set (to the
//     empty string: no file), else at the default path. It is trimmed, too.
//   - R7: In a remote session, a token from a descriptor is written to the default
//     path, mode 0600, for subprocesses that do not inherit the descriptor.
//   - H1: Without a token there are no headers.
//   - H2: A session key, which begins with "sk-ant-sid", is the cookie "sessionKey",
//     and its organisation, if the organisation variable is not empty, the field
//     X-Organization-Uuid.
//   - H3: Any other token is a bearer token.
//   - U1: An update sets the token variable of this process, so that it wins by R1
//     and children inherit it.
//
// # Where a Resolver goes beyond the rules
//
// Unless [Resolver.Compat] is set:
//
//   - A token file that changes is read again, and one that appears is found. A
//     file that is renamed to its place is believed at once; one that is written in
//     place when it has stood unchanged for 20 ms, or when the change is a second
//     old. It is looked at once a millisecond at most.
//   - A token that is known to be expired loses its place to its successor: a JWT
//     in a later source with the same issuer and subject that has not expired.
//   - White space at the end of the token variable (CR, LF, space, TAB) and of the
//     organisation variable is dropped.
//   - A pipe or socket that ends without a byte was read by another process, which
//     may have written the token file: the file is tried.
//   - Nothing is written by R7 if the file variable is set, nor over a successor
//     that ends later.
//   - Descriptors 0 to 2 are not tokens.
//   - A descriptor whose path cannot be reopened is read directly.
//   - A token file that belongs to neither root, this user, nor an unknown user is
//     refused. (Root also takes the owner of the directory that the file is in.)
//
// Always:
//
//   - A descriptor is checked before it is believed. Not one with close-on-exec,
//     which cannot have been inherited: the Go runtime has such descriptors open
//     before main. Not one that is not open for reading, and nothing but a file, a
//     pipe or a socket; no file of the kernel's own (proc, sysfs, control groups).
//   - A descriptor is read once in a process, for all resolvers. If it has not
//     ended after two seconds, a complete line is the token.
//   - A token with the white space around it has 64 KiB at most, and is UTF-8
//     where it was read from a descriptor or a file.
//   - Text that its header cannot carry is refused, and not shown.
//   - The token file is a regular file. Writing it follows no link.
package ingressauth
