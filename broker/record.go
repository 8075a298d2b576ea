package broker

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/ingressauth/ingressauth/internal/lines"
)

// Record is what is known of a request when it has ended. There is no query in it, no token and no
// phantom.
type Record struct {
	// Time is when it came.
	Time time.Time
	// Child and Route are their names, "" where none was found.
	Child, Route string
	// Method is the request's, "" if it was refused before that was read.
	Method string
	// Path is that of the request, in the form that is compared, without its query. It is ""
	// where there was none that could be read.
	Path string
	// Status is what the child got, 0 if nothing.
	Status int
	// Received and Sent are the sizes of the bodies from the child and from the upstream, in
	// bytes: Sent is 0 where the broker answers itself. Of a WebSocket they are all that moved.
	Received, Sent int64
	// Duration is how long it took, to the end of the answer.
	Duration time.Duration
	// Token is the token's [ingressauth.Token.Fingerprint], "" where none was sent.
	Token string
	// Reason is why the broker has answered itself, "" where the upstream has. With a Status that is
	// the upstream's it is UpstreamFailed, and says that the rest of the answer did not come.
	Reason Reason
}

// line is a Record as it is logged.
type line struct {
	Time     string  `json:"time"`
	Child    string  `json:"child,omitempty"`
	Route    string  `json:"route,omitempty"`
	Method   string  `json:"method"`
	Path     string  `json:"path,omitempty"`
	Status   int     `json:"status"`
	Received int64   `json:"received"`
	Sent     int64   `json:"sent"`
	Duration float64 `json:"duration"`
	Token    string  `json:"token,omitempty"`
	Reason   Reason  `json:"reason,omitempty"`
}

// AccessLog returns a function for [Config.Observe] that writes a line of JSON for each
// request, in one call of Write: "time" (RFC 3339, UTC), "child", "route", "method", "path",
// "status", "received" and "sent" (bytes), "duration" in seconds, "token" (its
// fingerprint) and "reason"; what is "" is left out but for "method". One goroutine writes at a
// time. What cannot be written is lost, and what follows begins on a line of its own.
func AccessLog(w io.Writer) func(Record) {
	var lock sync.Mutex
	to := lines.Writer{To: w}
	return func(r Record) {
		text, err := json.Marshal(line{
			r.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), r.Child, r.Route, r.Method, r.Path, r.Status,
			r.Received, r.Sent, float64(r.Duration/time.Microsecond) / 1e6, r.Token, r.Reason,
		})
		if err != nil {
			return // there is nothing in it that is not JSON
		}
		lock.Lock()
		defer lock.Unlock()
		to.Write(append(text, '\n'))
	}
}
