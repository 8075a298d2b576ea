package broker

import (
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	for _, test := range []struct {
		in, path, query string
		doubtful        bool
		err             error
	}{
		{in: "/", path: "/"},
		{in: "/a/b", path: "/a/b"},
		{in: "/a?x=/../%2e", path: "/a", query: "?x=/../%2e"},
		{in: "/a?", path: "/a", query: "?"},
		{in: "/a/../b", path: "/b"},
		{in: "/a/./b/.", path: "/a/b/"},
		{in: "/a/..", path: "/"},
		{in: "/../../a", path: "/a"},
		{in: "/%2e%2E/a", path: "/a"},
		{in: "/a/.%2e/b", path: "/b"},
		{in: "/%61%7e", path: "/a~"},
		{in: "/%e2%82%ac", path: "/%E2%82%AC"},
		{in: "/€", path: "/%E2%82%AC"},
		{in: "/a b\"<>", path: "/a%20b%22%3C%3E"},
		{in: "/a//b/", path: "/a//b/"},
		{in: "/...", path: "/..."},
		{in: "/.a", path: "/.a"},
		{in: "/a%2fb", path: "/a%2Fb", doubtful: true},
		{in: "/a/..%2fb", path: "/a/..%2Fb", doubtful: true},
		{in: `/a\..\b`, path: "/a%5C..%5Cb", doubtful: true},
		{in: "/a%5cb", path: "/a%5Cb", doubtful: true},
		{in: "/a%00", path: "/a%00", doubtful: true},
		{in: "/a%0d%0aX:1", path: "/a%0D%0AX:1", doubtful: true},
		{in: "/a/..;/b", path: "/a/..;/b", doubtful: true},
		{in: "/a/..;x=1/b", path: "/a/..;x=1/b", doubtful: true},
		{in: "/a/.%3bx/b", path: "/a/.%3Bx/b", doubtful: true},
		{in: "/a;x/b", path: "/a;x/b"},
		{in: "/%252e%252e/a", path: "/%252e%252e/a"},
		{in: "/@scope%2Fname", path: "/@scope%2Fname", doubtful: true},
		{in: "//host/a", err: errTwoSlashes},
		{in: "/.//host", err: errTwoSlashes},
		{in: "/a/..//host", err: errTwoSlashes},
		{in: "/%", err: errHalfEncoded},
		{in: "/%4", err: errHalfEncoded},
		{in: "/%zz", err: errHalfEncoded},
		{in: "/a?b c", err: errQuery},
		{in: "/a?b#c", err: errQuery},
		{in: "/a?\xff", err: errQuery},
		{in: "", err: errNoPath},
		{in: "*", err: errNoPath},
		{in: "a", err: errNoPath},
		{in: "http://host/", err: errNoPath},
	} {
		got, err := normalize(test.in)
		if want := (target{test.path, test.query, test.doubtful}); err != test.err || got != want {
			t.Errorf("normalize(%q) = %+v, %v; want %+v, %v", test.in, got, err, want, test.err)
		}
	}
}

// FuzzNormalize wants a form that is its own, and that nobody can read as another path.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"/", "/a/../b?x", "/%2e%2e/%2f", "/..;/a", "//a", "/€ \\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := normalize(s)
		if err != nil {
			return
		}
		again, err := normalize(got.path + got.query)
		if err != nil || again.path != got.path || again.query != got.query {
			t.Fatalf("%q is %+v, and that is %+v, %v", s, got, again, err)
		}
		if !got.doubtful && again.doubtful {
			t.Errorf("%q is not doubtful, and then is", s)
		}
		if !isNormalForm(got.path) {
			t.Errorf("%q has the form %q", s, got.path)
		}
		for segment := range strings.SplitSeq(got.path, "/") {
			if segment == "." || segment == ".." {
				t.Errorf("%q has the form %q", s, got.path)
			}
		}
	})
}

// isNormalForm reports whether a path is made of what a path is made of, and does not begin
// like an authority.
func isNormalForm(path string) bool {
	for i := range len(path) {
		if !pathOctets[path[i]] && path[i] != '%' {
			return false
		}
	}
	return strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//")
}

func TestRoutes(t *testing.T) {
	for _, test := range []struct {
		route Route
		err   string // a part of it, "" if there is none
	}{
		{Route{Upstream: "https://service.example"}, ""},
		{Route{Upstream: "https://service.example:8443/"}, ""},
		{Route{Upstream: "http://127.0.0.1:80"}, ""},
		{Route{Upstream: "http://[::1]:80"}, ""},
		{Route{Upstream: "http://localhost"}, ""},
		{Route{Upstream: "https://service.example", Prefix: "/a/"}, ""},
		{Route{Upstream: "https://service.example", Allow: []string{"GET,HEAD /v1/", "* /x"}}, ""},
		{Route{}, "scheme, a host"},
		{Route{Upstream: "service.example"}, "scheme, a host"},
		{Route{Upstream: "https://"}, "scheme, a host"},
		{Route{Upstream: "https://:80"}, "scheme, a host"},
		{Route{Upstream: "https://u:p@service.example"}, "scheme, a host"},
		{Route{Upstream: "https://service.example/path"}, "scheme, a host"},
		{Route{Upstream: "https://service.example?q"}, "scheme, a host"},
		{Route{Upstream: "https://service.example#f"}, "scheme, a host"},
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
