package broker

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// line is a Record as it is logged.
type line struct {
	Time     string  `json:"time"`
	Child    string  `json:"child,omitempty"`
	Route    string  `json:"route,omitempty"`
	Method   string  `json:"method"`
	Path     string  `json:"path,omitempty"`
	Status   int     `json:"status"`
	Received int64   `json:"received"`
	Bytes    int64   `json:"bytes"`
	Duration float64 `json:"duration"`
	Token    string  `json:"token,omitempty"`
	Reason   Reason  `json:"reason,omitempty"`
}

// AccessLog returns a function for [Config.Observe] that writes a line of JSON for each
// request, in one call of Write: "time" (RFC 3339, UTC), "child", "route", "method", "path",
// "status", "received" and "bytes" (to the child), "duration" in seconds, "token" (its
// fingerprint) and "reason". What cannot be written is lost.
func AccessLog(w io.Writer) func(Record) {
	var lock sync.Mutex
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
		w.Write(append(text, '\n'))
	}
}
