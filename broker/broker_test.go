package broker

import (
	"net/http"
	"os"
	"testing"
)

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

func TestSmoke(t *testing.T) {
	var got http.Header
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) { got = r.Header.Clone(); echo(w, r) }, nil)
	response, body := w.do(w.request("GET", "/a/%2e%2e/b?x=1", nil))
	if response.StatusCode != 200 || body != "hello\n" || got.Get("Authorization") != "Bearer "+realToken {
		t.Errorf("%v %q %v", response, body, got)
	}
	t.Log(w.records.last(t, 1))
}
