package broker

import (
	"net/http"
	"strings"
	"testing"
)

// TestPages refuses what a browser sends for a page of another origin, and for a name that was
// made to mean this machine.
func TestPages(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("X-Got-Origin", r.Header.Get("Origin"))
	}, nil)
	port := w.port.port
	for _, test := range []struct {
		host, origin string
		reason       Reason
	}{
		{"127.0.0.1:" + port, "", ""},
		{"localhost:" + port, "http://localhost:" + port, ""},
		{"LOCALHOST:" + port, "", ""},
		{"[::1]:" + port, "", ""},
		{"127.1.2.3:" + port, "", ""},
		{"127.0.0.1:" + port, "http://127.0.0.1:" + port, ""},
		{"evil.example:" + port, "", WrongHost},
		{"localhost.evil.example:" + port, "", WrongHost},
		{"127.0.0.1.evil.example:" + port, "", WrongHost},
		{"127.0.0.1:1", "", WrongHost},
		{"127.0.0.1", "", WrongHost},
		{"localhost", "", WrongHost},
		{"0.0.0.0:" + port, "", WrongHost},
		{"127.0.0.1:" + port, "null", WrongOrigin},
		{"127.0.0.1:" + port, "https://127.0.0.1:" + port, WrongOrigin},
		{"127.0.0.1:" + port, "http://127.0.0.1:1", WrongOrigin},
		{"127.0.0.1:" + port, "http://evil.example", WrongOrigin},
		{"127.0.0.1:" + port, "http://evil.example:" + port, WrongOrigin},
		{"127.0.0.1:" + port, "file://", WrongOrigin},
	} {
		for _, method := range []string{"GET", "OPTIONS"} {
			r := w.request(method, "/", nil)
			r.Host = test.host
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			response, body := w.do(r)
			if reason := reasonOf(t, response, body); reason != test.reason {
				t.Errorf("%s, Host %q, Origin %q: %s %q, want %q", method, test.host, test.origin, response.Status, reason, test.reason)
			}
			if response.Header.Get("X-Got-Origin") != "" {
				t.Error("the upstream got our origin")
			}
			for name := range response.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("Host %q, Origin %q: %s in the answer", test.host, test.origin, name)
				}
			}
		}
	}
}

func TestIsOwn(t *testing.T) {
	l := &Listener{port: "80"}
	for authority, want := range map[string]bool{
		"127.0.0.1": true, "localhost": true, "[::1]": true, "127.0.0.1:80": true, "[::1]:80": true,
		"": false, ":80": false, "[::1%lo]:80": false, "localhost:": false, "localhost:080": false, "a.localhost": false, "127.0.0.1:81": false, "[127.0.0.1]x": false,
	} {
		if got := l.isOwn(authority); got != want {
			t.Errorf("isOwn(%q) = %v", authority, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	w := newWorld(t, echo, nil)
	for _, address := range []string{"", "0.0.0.0:0", ":0", "[::]:0", "10.0.0.1:0", "example.com:80", "localhost.:0", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:http",
		"127.0.0.1:+1", "unix:", "unix:relative", "unix:/a/../b", "unix:/" + strings.Repeat("a", 200), "tcp:127.0.0.1:0"} {
		if l, err := w.broker.Listen(address); err == nil {
			t.Errorf("listens on %s", l.URL())
		}
	}
	for _, address := range []string{"localhost:0", "127.1.2.3:0"} {
		w.listen(address)
	}
}
