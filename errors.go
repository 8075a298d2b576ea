package ingressauth

import "errors"

// ErrNoToken says that a source has no token. Every [Source] returns it, or an
// error that wraps it and gives the reason, and [Renewer.Renew] returns it where
// there is no token but the refused one.
var ErrNoToken = errors.New("no session token")

// ErrNoOrigins says that no origin was named to which the token may go. [Transport]
// and [RPCCredentials] return it: they send a token nowhere else.
var ErrNoOrigins = errors.New("no origins are named that may get the session token")
