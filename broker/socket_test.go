//go:build unix

package broker

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocket(t *testing.T) {
	w := newWorld(t, echo, nil)
	dir := shortDir(t)
	path := filepath.Join(dir, "made", "socket")
	l := w.listen("unix:" + path)
	for p, mode := range map[string]os.FileMode{filepath.Dir(path): os.ModeDir | 0o700, path: os.ModeSocket | 0o600} {
		if info, err := os.Lstat(p); err != nil || info.Mode() != mode {
			t.Errorf("%v, %v; want %v", info.Mode(), err, mode)
		}
	}
	if l.URL() != "unix:"+path {
		t.Error(l.URL())
	}
	if _, err := w.broker.Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a live socket: %v", err)
	}
	w.broker.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left")
	}
}

// TestSocketPlaces has sockets be made where something is already.
func TestSocketPlaces(t *testing.T) {
	w := newWorld(t, echo, nil)
	for _, test := range []struct {
		name    string
		prepare func(dir string) error
		err     string // a part of it; "" if there is none
	}{
		{"a stale socket", func(dir string) error {
			l, err := net.Listen("unix", dir+"/s")
			if err != nil {
				return err
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			return l.Close()
		}, ""},
		{"a file", func(dir string) error { return os.WriteFile(dir+"/s", nil, 0o600) }, "something else"},
		{"a directory", func(dir string) error { return os.Mkdir(dir+"/s", 0o700) }, "something else"},
		{"a link to nothing", func(dir string) error { return os.Symlink(dir+"/other", dir+"/s") }, "something else"},
		{"a link to a stale socket", func(dir string) error {
			l, err := net.Listen("unix", dir+"/other")
			if err != nil {
				return err
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
			return os.Symlink(dir+"/other", dir+"/s")
		}, "something else"},
		{"a directory that others may enter", func(dir string) error { return os.Chmod(dir, 0o755) }, "mode 0755"},
		{"a directory that is a link", func(dir string) error {
			if err := os.Rename(dir, dir+"-real"); err != nil {
				return err
			}
			return os.Symlink(dir+"-real", dir)
		}, "link"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(shortDir(t), "d")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := test.prepare(dir); err != nil {
				t.Fatal(err)
			}
			l, err := w.broker.Listen("unix:" + dir + "/s")
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v, %v; want %q", l, err, test.err)
			}
		})
	}
}

// TestSocketIsReplaced leaves what has taken a socket's place.
func TestSocketIsReplaced(t *testing.T) {
	w := newWorld(t, echo, nil)
	path := filepath.Join(shortDir(t), "d", "s")
	w.listen("unix:" + path)
	os.Remove(path)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.broker.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Error("another's file was removed")
	}
}

// TestSocketPhantom wants the phantom on a socket whose child has no supervisor.
func TestSocketPhantom(t *testing.T) {
	w := newWorld(t, echo, nil)
	_, client := w.socket()
	r, _ := http.NewRequest("GET", "http://any.example/", nil)
	r.Header.Set("Origin", "null") // which no browser sends there
	if response, body := do(t, client, r); reasonOf(t, response, body) != NoPhantom {
		t.Errorf("without: %s", response.Status)
	}
	w.child.Phantom().SetHeader(r.Header)
	if response, _ := do(t, client, r); response.StatusCode != 200 {
		t.Errorf("with: %s", response.Status)
	}
}

// socket listens on a Unix socket, and returns a client that connects there.
func (w *world) socket() (*Listener, *http.Client) {
	w.t.Helper()
	path := filepath.Join(shortDir(w.t), "s", "socket")
	l := w.listen("unix:" + path)
	client := newClient(w.t)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return l, client
}

// TestListenerRoutes has two listeners be for two upstreams.
func TestListenerRoutes(t *testing.T) {
	w := newWorld(t, echo, nil)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "other") }))
	defer other.Close()
	socket := "unix:" + shortDir(t) + "/d/s"
	b, err := New(Config{Source: w.token, Routes: []Route{{Upstream: w.upstream.URL}, {Upstream: other.URL, Listener: socket}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	child, _ := b.Add(ChildConfig{})
	for address, want := range map[string]string{socket: "other", "127.0.0.1:0": "hello\n"} {
		l, err := b.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		client, base := newClient(t), l.URL()
		if path, ok := strings.CutPrefix(base, "unix:"); ok {
			base = "http://localhost"
			client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}
		}
		r, _ := http.NewRequest("GET", base, nil)
		child.Phantom().SetHeader(r.Header)
		if _, body := do(t, client, r); body != want {
			t.Errorf("%s: %q, want %q", address, body, want)
		}
	}
}

// shortDir is a directory whose path leaves room for a socket's.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "b-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
