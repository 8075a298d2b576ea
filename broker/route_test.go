package broker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestNewRoutes(t *testing.T) {
	for _, test := range []struct {
		route Route
		err   string // a part of it, "" if there is none
	}{
		{Route{Upstream: "https://service.example"}, ""},
		{Route{Upstream: "https://service.example:8443/"}, ""},
		{Route{Upstream: "https://service.example:65536"}, "no such port"},
		{Route{Upstream: "http://127.0.0.1:80"}, ""},
		{Route{Upstream: "http://[::1]:80"}, ""},
		{Route{Upstream: "http://localhost"}, ""},
		{Route{Upstream: "https://service.example", Prefix: "/a/"}, ""},
		{Route{Upstream: "https://service.example", Allow: []string{"GET,HEAD /v1/", "* /x"}}, ""},
		{Route{}, "an origin"},
		{Route{Upstream: "service.example"}, "an origin"},
		{Route{Upstream: "https://"}, "an origin"},
		{Route{Upstream: "https://:80"}, "an origin"},
		{Route{Upstream: "https://u:p@service.example"}, "an origin"},
		{Route{Upstream: "https://service.example/path"}, "an origin"},
		{Route{Upstream: "https://service.example?q"}, "an origin"},
		{Route{Upstream: "https://service.example#f"}, "an origin"},
		{Route{Upstream: "http://service.example"}, "plain HTTP"},
		{Route{Upstream: "http://10.0.0.1"}, "plain HTTP"},
		{Route{Upstream: "http://localhost.example"}, "plain HTTP"},
		{Route{Upstream: "ftp://localhost"}, "by https"},
		{Route{Upstream: "https://sérvice.example"}, "ASCII"},
		{Route{Upstream: "https://service.example", Prefix: "a/"}, "prefix"},
		{Route{Upstream: "https://service.example", Prefix: "/a"}, "prefix"},
		{Route{Upstream: "https://service.example", Prefix: "/a/../"}, "prefix"},
		{Route{Upstream: "https://service.example", Prefix: "/a?/"}, "prefix"},
		{Route{Upstream: "https://service.example", Allow: []string{"GET"}}, "rule"},
		{Route{Upstream: "https://service.example", Allow: []string{"GET v1"}}, "rule"},
		{Route{Upstream: "https://service.example", Allow: []string{"GET /%76"}}, "rule"},
		{Route{Upstream: "https://service.example", Allow: []string{"GET /a%2Fb"}}, "rule"},
		{Route{Upstream: "https://service.example", Allow: []string{"GET /a?b"}}, "rule"},
		{Route{Upstream: "https://service.example", Allow: []string{"G@T,HEAD /a"}}, "methods"},
		{Route{Upstream: "https://service.example", Allow: []string{",GET /a"}}, "methods"},
		{Route{Upstream: "https://service.example", Allow: []string{"get /a"}}, "as GET"},
		{Route{Upstream: "https://service.example", Allow: []string{"Query /a"}}, ""}, // which is a method of its own
		{Route{Upstream: "https://service.example", Allow: []string{"GET /a/*"}}, "no * is needed"},
		{Route{Name: "sk-ant-cc-token", Upstream: "x"}, "hidden"},
	} {
		_, err := newRoutes([]Route{test.route})
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%+v: %v, want %q", test.route, err, test.err)
		}
	}
	if _, err := newRoutes(nil); err == nil {
		t.Error("no route is a route")
	}
	twice := []Route{{Upstream: "https://a.example"}, {Upstream: "https://b.example", Prefix: "/"}}
	if _, err := newRoutes(twice); err == nil {
		t.Error("two upstreams for one prefix")
	}
}

func TestRoute(t *testing.T) {
	w := newWorld(t, echo, nil)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "other "+r.RequestURI) }))
	defer other.Close()
	b, err := New(Config{Source: w.token, Observe: w.records.add, Routes: []Route{
		{Upstream: w.upstream.URL, Allow: []string{"GET,HEAD /v1/", "POST /v1/items"}},
		{Upstream: other.URL, Prefix: "/other/", Name: "other"},
		{Upstream: other.URL, Prefix: "/other/deep/", Allow: []string{"* /x"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := b.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	child, err := b.Add(ChildConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		method, path string
		status       int
		upstream     string // the target that it gets
		route        string
	}{
		{"GET", "/v1/a?b=c;d", 200, "/v1/a?b=c;d", "/"},
		{"HEAD", "/v1/a", 200, "/v1/a", "/"},
		{"GET", "/v1/", 200, "/v1/", "/"},
		{"GET", "/v1", 404, "", ""},
		{"GET", "/v1/../v2", 404, "", ""},
		{"GET", "/v1/%2e%2e/v2", 404, "", ""},
		{"GET", "/v2/%2e%2e/v1/%61", 200, "/v1/a", "/"},
		{"GET", "/v1/..%2fv2", 400, "", ""},
		{"GET", "/v1/..%5cv2", 400, "", ""},
		{"GET", "/V1/a", 404, "", ""},
		{"POST", "/v1/items", 200, "/v1/items", "/"},
		{"POST", "/v1/items/", 404, "", ""},
		{"POST", "/v1/a", 404, "", ""},
		{"DELETE", "/v1/items", 404, "", ""},
		{"GET", "/other/a%2fb", 200, "/a%2Fb", "other"},
		{"GET", "/other", 200, "/", "other"},
		{"GET", "/other?x", 200, "/?x", "other"},
		{"GET", "/other/", 200, "/", "other"},
		{"GET", "/other//x", 400, "", ""},
		{"GET", "/otherwise", 404, "", ""},
		{"GET", "/other/deep/x", 200, "/x", "/other/deep/"},
		{"GET", "/other/deep/y", 404, "", ""},
		{"GET", "/other/../v1/x", 200, "/v1/x", "/"},
	} {
		r, err := http.NewRequest(test.method, l.URL()+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		child.Phantom().SetHeader(r.Header)
		w.records.lock.Lock()
		n := len(w.records.list)
		w.records.lock.Unlock()
		response, body := w.do(r)
		got := response.Header.Get("X-Got-Path")
		if rest, ok := strings.CutPrefix(body, "other "); ok {
			got = rest
		}
		if response.StatusCode != test.status || got != test.upstream {
			t.Errorf("%s %s: %s, upstream got %q; want %d, %q", test.method, test.path, response.Status, got, test.status, test.upstream)
		}
		if record := w.records.last(t, n+1); record.Route != test.route || record.Method != test.method || strings.Contains(record.Path, "?") {
			t.Errorf("%s %s: record %+v, want route %q", test.method, test.path, record, test.route)
		}
	}
}
