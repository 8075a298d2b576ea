package broker

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// meter counts requests.
type meter struct {
	renewals atomic.Int64

	lock     sync.Mutex
	requests map[key]*counts
}

// key is what requests are counted by.
type key struct {
	child, route string
	status       int
	reason       Reason
}

type counts struct {
	requests, received, sent int64
	seconds                  float64
}

// maxKeys is how many there may be before requests are counted without their child's name: children
// come and go.
const maxKeys = 10_000

// counted is where a connection's last request was counted, which is where most of its next ones
// are.
type counted struct {
	key    key
	counts *counts
}

func (m *meter) count(r *Record, last *counted) {
	k := key{r.Child, r.Route, r.Status, r.Reason}
	m.lock.Lock()
	defer m.lock.Unlock()
	if last.counts == nil || last.key != k {
		*last = counted{k, m.counts(k)}
	}
	c := last.counts
	c.requests++
	c.received += r.Received
	c.sent += r.Sent
	c.seconds += r.Duration.Seconds()
}

// counts returns those of a key. The lock is held.
func (m *meter) counts(k key) *counts {
	c := m.requests[k]
	if c == nil {
		if m.requests == nil {
			m.requests = make(map[key]*counts)
		}
		if len(m.requests) >= maxKeys {
			k.child = ""
			c = m.requests[k]
		}
		if c == nil {
			c = new(counts)
			m.requests[k] = c
		}
	}
	return c
}

// metricsType is the media type of OpenMetrics' text form.
const metricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// Metrics returns a handler that answers with the broker's counters in the text form of
// OpenMetrics 1.0, for a listener of its own: requests with their status, reason, route and
// child, bytes in both directions, time, what is open, and how often a source was asked for
// another token after a refusal.
func (b *Broker) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", metricsType)
		w.Write(b.metrics())
	})
}

func (b *Broker) metrics() []byte {
	m := &b.meter
	m.lock.Lock()
	values := make(map[string]counts, len(m.requests))
	for k, c := range m.requests {
		values[k.labels()] = *c
	}
	m.lock.Unlock()
	var text bytes.Buffer
	family := func(name, kind, unit, help string) {
		fmt.Fprintf(&text, "# TYPE %s %s\n", name, kind)
		if unit != "" {
			fmt.Fprintf(&text, "# UNIT %s %s\n", name, unit)
		}
		fmt.Fprintf(&text, "# HELP %s %s\n", name, help)
	}
	for _, f := range []struct {
		name, unit, help string
		value            func(counts) string
	}{
		{"ingressauth_broker_requests", "", "Requests that have ended.", func(c counts) string { return fmt.Sprint(c.requests) }},
		{"ingressauth_broker_received_bytes", "bytes", "Bodies from children.", func(c counts) string { return fmt.Sprint(c.received) }},
		{"ingressauth_broker_sent_bytes", "bytes", "Bodies to children.", func(c counts) string { return fmt.Sprint(c.sent) }},
		{"ingressauth_broker_duration_seconds", "seconds", "How long requests took, in all.", func(c counts) string { return fmt.Sprint(c.seconds) }},
	} {
		family(f.name, "counter", f.unit, f.help)
		for _, labels := range slices.Sorted(maps.Keys(values)) {
			fmt.Fprintf(&text, "%s_total{%s} %s\n", f.name, labels, f.value(values[labels]))
		}
	}
	family("ingressauth_broker_renewals", "counter", "", "How often the source was asked for another token after a refusal.")
	fmt.Fprintf(&text, "ingressauth_broker_renewals_total %d\n", m.renewals.Load())
	family("ingressauth_broker_open_requests", "gauge", "", "Requests that have not ended, WebSockets among them.")
	fmt.Fprintf(&text, "ingressauth_broker_open_requests %d\n", b.open.size())
	text.WriteString("# EOF\n")
	return text.Bytes()
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func (k key) labels() string {
	return fmt.Sprintf(`child="%s",reason="%s",route="%s",status="%d"`,
		escapeLabel.Replace(k.child), k.reason, escapeLabel.Replace(k.route), k.status)
}
