package broker

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth/internal/phantom"
)

func TestAccessLog(t *testing.T) {
	var b bytes.Buffer
	log := AccessLog(&b)
	at := time.Date(2026, 11, 27, 1, 2, 3, 4000, time.FixedZone("", 3600))
	log(Record{Time: at, Child: "a", Route: "/", Method: "GET", Path: "/\n\"", Status: 200, Received: 1, Sent: 2, Duration: 1500 * time.Microsecond, Token: "1a2b3c4d"})
	log(Record{Time: at, Method: "POST", Status: 401, Reason: NoPhantom})
	want := `{"time":"2026-11-27T00:02:03.000004Z","child":"a","route":"/","method":"GET","path":"/\n\"","status":200,"received":1,"sent":2,"duration":0.0015,"token":"1a2b3c4d"}
{"time":"2026-11-27T00:02:03.000004Z","method":"POST","status":401,"received":0,"sent":0,"duration":0,"reason":"NoPhantom"}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	for line := range strings.Lines(b.String()) {
		if !json.Valid([]byte(line)) {
			t.Error(line)
		}
	}
}

// TestNothingShowsAToken has requests and failures of all kinds be logged.
func TestNothingShowsAToken(t *testing.T) {
	var b bytes.Buffer
	w := newWorld(t, func(h http.ResponseWriter, r *http.Request) { io.WriteString(h, "x") }, func(c *Config) { c.Observe = AccessLog(&b) })
	for _, path := range []string{"/" + realToken, "/?" + realToken, "/" + w.child.Phantom().Reveal()} {
		w.do(w.request("GET", path, nil))
	}
	r, _ := http.NewRequest("GET", w.port.URL()+"/x/"+w.child.Phantom().Reveal(), nil)
	w.do(r) // 401
	w.do(w.request(w.child.Phantom().Reveal(), "/", nil))
	w.token.set(t, phantom.New(false), "")
	w.do(w.request("GET", "/", nil)) // 503
	w.token.set(t, realToken, "")
	w.upstream.Close()
	w.do(w.request("GET", "/", nil)) // 502
	w.broker.Close()
	text := b.String() + string(w.broker.metrics())
	if strings.Contains(text, realToken) || strings.Contains(text, phantom.Mark) {
		t.Errorf("it shows a token: %s", text)
	}
	if strings.Count(b.String(), "\n") != 7 {
		t.Errorf("%s", b.String())
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, echo, func(c *Config) { c.Routes[0].Name = "a \"\\\n" })
	w.do(w.request("POST", "/", strings.NewReader("12345")))
	r, _ := http.NewRequest("GET", w.port.URL(), nil)
	w.do(r)
	w.records.last(t, 2)
	w.broker.open.wait()
	server := httptest.NewServer(w.broker.Metrics())
	defer server.Close()
	r, _ = http.NewRequest("GET", server.URL, nil)
	response, body := w.do(r)
	if got := response.Header.Get("Content-Type"); got != metricsType {
		t.Error(got)
	}
	lines := strings.Split(body, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "ingressauth_broker_duration_seconds_total{") {
			lines[i] = line[:strings.LastIndexByte(line, ' ')] // which is never the same
		}
	}
	want := `# TYPE ingressauth_broker_requests counter
# HELP ingressauth_broker_requests Requests that have ended.
ingressauth_broker_requests_total{child="",reason="NoPhantom",route="a \"\\\n",status="401"} 1
ingressauth_broker_requests_total{child="child",reason="",route="a \"\\\n",status="200"} 1
# TYPE ingressauth_broker_received_bytes counter
# UNIT ingressauth_broker_received_bytes bytes
# HELP ingressauth_broker_received_bytes Bodies from children.
ingressauth_broker_received_bytes_total{child="",reason="NoPhantom",route="a \"\\\n",status="401"} 0
ingressauth_broker_received_bytes_total{child="child",reason="",route="a \"\\\n",status="200"} 5
# TYPE ingressauth_broker_sent_bytes counter
# UNIT ingressauth_broker_sent_bytes bytes
# HELP ingressauth_broker_sent_bytes Bodies to children.
ingressauth_broker_sent_bytes_total{child="",reason="NoPhantom",route="a \"\\\n",status="401"} 0
ingressauth_broker_sent_bytes_total{child="child",reason="",route="a \"\\\n",status="200"} 6
# TYPE ingressauth_broker_duration_seconds counter
# UNIT ingressauth_broker_duration_seconds seconds
# HELP ingressauth_broker_duration_seconds How long requests took, in all.
ingressauth_broker_duration_seconds_total{child="",reason="NoPhantom",route="a \"\\\n",status="401"}
ingressauth_broker_duration_seconds_total{child="child",reason="",route="a \"\\\n",status="200"}
# TYPE ingressauth_broker_renewals counter
# HELP ingressauth_broker_renewals How often the source was asked for another token after a refusal.
ingressauth_broker_renewals_total 0
# TYPE ingressauth_broker_open_requests gauge
# HELP ingressauth_broker_open_requests Requests that have not ended, WebSockets among them.
ingressauth_broker_open_requests 0
# EOF
`
	if diff := cmp.Diff(want, strings.Join(lines, "\n")); diff != "" {
		t.Error(diff)
	}
}
