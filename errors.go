package ingressauth

import "errors"

// ErrNoToken says that a source has no token. Every [Source] returns it, or an
// error that wraps it and gives the reason, and [Renewer.Renew] returns it where
// there is no token but the refused one.
var ErrNoToken = errors.New("no session token")
