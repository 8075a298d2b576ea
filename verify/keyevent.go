package verify

import (
	"context"
	"fmt"
	"log/slog"
)

// KeyEvent is something that happened to a [RemoteKeySet].
type KeyEvent struct {
	Kind KeyEventKind
	// URL is where the keys are from, without a password.
	URL string
	// Count is, of [KeysFetched], how many keys are of use, and of [UnknownKeyID], how
	// many ids are unknown.
	Count int
	// Changed says, of [KeysFetched], whether the keys are others than before.
	Changed bool
	// KeyID is, of [UnknownKeyID], one of those ids, as an unverified token says.
	KeyID string
	// Message says, of [KeyIgnored], which key is left out, and why.
	Message string
	// Err is, of [FetchFailed], [ServingStale] and [KeysDropped], why keys could not be
	// fetched, or that they have not been.
	Err error
}

// KeyEventKind says what happened. The list is closed: it does for a metric's label.
type KeyEventKind string

// The kinds of events.
const (
	// KeysFetched: the issuer has answered with keys, or that they are what they were.
	KeysFetched KeyEventKind = "fetched"
	// FetchFailed: there was no answer, or none that has keys. It is tried again.
	FetchFailed KeyEventKind = "fetch failed"
	// KeyIgnored: a key is left out. It is said once, and again if it was gone meanwhile.
	KeyIgnored KeyEventKind = "key ignored"
	// UnknownKeyID: tokens have ids that are not among the keys that were fetched for
	// them. It is said once a fetch.
	UnknownKeyID KeyEventKind = "unknown key id"
	// ServingStale: the keys should have been replaced by now, and serve on.
	ServingStale KeyEventKind = "serving stale"
	// KeysDropped: they do so no more, and all tokens are refused.
	KeysDropped KeyEventKind = "keys dropped"
)

// String says it in words.
func (e KeyEvent) String() string {
	switch e.Kind {
	case KeysFetched:
		if e.Count == 0 {
			return "the key set has no key that is of use: every token is refused"
		}
		if e.Changed {
			return fmt.Sprintf("a key set of %d keys was fetched", e.Count)
		}
		return fmt.Sprintf("the key set of %d keys is what it was", e.Count)
	case FetchFailed:
		return fmt.Sprint(e.Err)
	case KeyIgnored:
		return e.Message
	case UnknownKeyID:
		return fmt.Sprintf("%d ids of keys are not in the key set, among them %.64q", e.Count, e.KeyID)
	case ServingStale:
		return fmt.Sprintf("the key set is no longer fresh, and serves on: %v", e.Err)
	case KeysDropped:
		return fmt.Sprintf("the key set is too old, and every token is refused: %v", e.Err)
	}
	return string(e.Kind)
}

// logKeyEvent logs what needs attention.
func logKeyEvent(e KeyEvent) {
	level := slog.LevelWarn
	switch {
	case e.Kind == KeysDropped, e.Kind == KeysFetched && e.Count == 0:
		level = slog.LevelError
	case e.Kind == KeysFetched, e.Kind == UnknownKeyID:
		level = slog.LevelDebug
	}
	slog.Default().Log(context.Background(), level, e.String(), "url", e.URL)
}
