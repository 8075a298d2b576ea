// Package ingressauth finds the session token of a program that runs inside an
// agent's session, keeps finding it when it is replaced, and sends it with requests
// to the services that were named, and to no others. Those services say with package
// verify who sent it. ("Ingress" here means how a session gets into a service;
// Kubernetes Ingress objects are something else.)
//
// Most programs need a [Transport] for their HTTP client, and WebSocket clients take
// that client; those that use gRPC need [RPCCredentials]. A program whose parent
// replaces the token by lines on its standard input reads them through package
// control. Others make one call for each request:
//
//	header, err := ingressauth.Default.Header(ctx)
//
// An answer costs about as much as reading two environment variables. Keep none: a
// token that was kept goes stale when a parent process replaces it.
//
// # The rules
//
// A [Resolver] looks at three sources, whose names a [Profile] can change. White
// space is what ECMAScript trims.
//
//   - R1: The token variable, if it is not empty, is the token. It is looked at on
//     every call.
//   - R2: What R3 to R6 bring, be it nothing, stays for as long as the process lives:
//     a descriptor gives what it has once.
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
//   - U1: An update sets the token variable of this process, so that R1 finds it, and
//     so do children.
//
// # Where a Resolver goes beyond the rules
//
// Unless [Resolver.Compat] is set:
//
//   - The token file is followed: changes are seen, and a file that comes later is
//     found. What was renamed to its place is believed at once, what was written there
//     when it has stood still for 20 ms. It is looked at once a millisecond at most.
//     Whoever has not looked for a second waits for these 20 ms.
//   - An expired token gives way to its successor: a JWT in a later source with the
//     same issuer and subject that has not expired.
//   - White space at the end of the token variable (CR, LF, space, TAB) and of the
//     organisation variable is dropped.
//   - A pipe or socket that ends without a byte was read by another process, which
//     may have written the token file: the file is tried.
//   - R7 writes nothing if the file variable is set, no token that is not in use, and
//     nothing over a successor that ends later.
//   - The standard streams, 0 to 2, are not read.
//   - Where a descriptor has no path that can be opened, it is read itself.
//   - A token file must belong to root, to this user, or to a user that this user
//     namespace does not know. Root trusts the owner of its directory, too.
//
// Always:
//
//   - A descriptor is read only if it can be the parent's. One with close-on-exec
//     cannot have been inherited; the Go runtime has such descriptors open before
//     main. It must be open for reading, on a file, a pipe or a socket, and not on a
//     file of the kernel's own (proc, sysfs, control groups).
//   - A descriptor is read once in a process, for all resolvers. If it has not
//     ended after two seconds, a complete line is the token.
//   - A token has 64 KiB at most. What is read from a descriptor or a file is UTF-8.
//   - No text is sent, or shown, that would break its header.
//   - The token file is a regular file. Writing it follows no link, neither there nor
//     at its directory.
package ingressauth
