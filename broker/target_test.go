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
		{in: "/a%20b\"<>", path: "/a%20b%22%3C%3E"},
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
		{in: "/€", err: errOctet},
		{in: "/a b", err: errOctet},
		{in: "/a#b", err: errOctet},
		{in: "/a?b c", err: errOctet},
		{in: "/a?b#c", err: errOctet},
		{in: "/a?\xff", err: errOctet},
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
