package broker

import (
	"net/http"
	"os"
	"testing"
	"time"
)

// TestDescriptors has none be left open, of listeners, peers, supervisors and upstreams.
func TestDescriptors(t *testing.T) {
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	once := func() {
		w := newWorld(t, echoFrames, nil)
		if _, err := w.broker.Add(ChildConfig{Supervisor: os.Getpid()}); err != nil {
			t.Fatal(err)
		}
		_, client := w.socket()
		for range 5 {
			r, _ := http.NewRequest("GET", "http://localhost/", nil)
			do(t, client, r)
			w.do(w.request("GET", "/", nil))
			c, _ := w.dial("")
			defer c.Close()
		}
		client.CloseIdleConnections()
		w.client.CloseIdleConnections()
		w.broker.Close()
		w.upstream.Close()
	}
	once() // which has the runtime open what it keeps
	before := open()
	for range 5 {
		once()
	}
	eventually(t, func() bool { return open() <= before })
}

// eventually waits for a condition.
func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
