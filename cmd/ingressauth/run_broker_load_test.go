//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/refresh/refreshtest"
)

func init() { testPrograms["pour"], testPrograms["drain"] = pour, drain }

// poured reads as so many bytes, which are always the same: a number, chance, the next number,
// the same chance, and so on.
func poured(n int64) io.Reader {
	p := &pouring{block: make([]byte, 64<<10)}
	rand.NewChaCha8([32]byte{}).Read(p.block)
	return io.LimitReader(p, n)
}

type pouring struct {
	block []byte
	count uint64
	rest  []byte
}

func (p *pouring) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		p.count++
		binary.BigEndian.PutUint64(p.block, p.count)
		p.rest = p.block
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// pour prints so many bytes.
func pour() int {
	n, err := strconv.ParseInt(os.Args[1], 10, 64)
	if err == nil {
		_, err = io.Copy(os.Stdout, poured(n))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// drain says what comes on its standard input.
func drain() int {
	fmt.Println(digestOf(os.Stdin))
	return 0
}

// digestOf says how much is read, and what.
func digestOf(r io.Reader) string {
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli)) // which takes a tenth of the time that SHA-256 does
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%d bytes %x %v", n, h.Sum32(), err)
}

// TestRunBrokerBodies has bodies pass that are larger than what the broker may have of memory.
func TestRunBrokerBodies(t *testing.T) {
	need(t, "curl")
	const most = 100 << 10 // KiB
	for _, test := range []struct {
		name         string
		secure       bool
		size, atRace int64
	}{
		{"HTTP/1.1", false, 1 << 30, 64 << 20},
		{"HTTP/2", true, 256 << 20, 16 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			size := test.size
			if underRace() {
				size = test.atRace
			}
			c := newBrokerClient(t, "", test.secure)
			c.upstream.HandleFunc("PUT /upload", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, digestOf(r.Body)) })
			c.upstream.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, poured(size)) })
			c.set("SELF="+c.program("pour"), fmt.Sprint("SIZE=", size))
			c.while = func(supervisor int) {
				peak := statusOf(t, supervisor, "VmHWM")
				t.Logf("%d KiB of memory at most", peak)
				if peak > most && !underRace() {
					t.Errorf("the broker had %d KiB of memory, want %d at most", peak, most)
				}
			}
			got := c.runScript(`
				"$SELF" $SIZE | curl -fsS` + bearer + `-T - "$SERVICE/upload"
				curl -fsS` + bearer + `"$SERVICE/download" | ` + testProgram + `=drain "$SELF"
				curl -fsS` + bearer + `-o /dev/null "$SERVICE/hold"`)
			want := digestOf(poured(size)) + "\n"
			if got != want+want {
				t.Errorf("it has printed %q, want %q twice", got, want)
			}
		})
	}
}

// brokerRequesters send requests with a phantom, until the answer is that it is over.
const brokerRequesters = `
(while code=$(curl -sS -o /dev/null -w '%{http_code}'` + bearer + `"$SERVICE/curl"); do
	case $code in 200) ;; 410) exit 0 ;; *) echo "curl: $code" ;; esac
	sleep 0.02
done
echo curl: it failed) &
node -e '
const service = process.env.SERVICE + "/node", headers = { authorization: "Bearer " + process.env.CLAUDE_CODE_SESSION_ACCESS_TOKEN };
(async () => {
  for (let i = 0; ; i++) {
    const response = await fetch(service, i % 2 ? { headers } : { headers, method: "POST", body: "x".repeat(10000) });
    await response.arrayBuffer();
    if (response.status === 410) process.exit(0);
    if (response.status !== 200) console.log("node: " + response.status);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
})();' &
python3 -c '
import http.client, os, time, urllib.parse
connection = http.client.HTTPConnection(urllib.parse.urlparse(os.environ["SERVICE"]).netloc)
while True:
    connection.request("GET", "/python", headers={"Authorization": "Bearer " + os.environ["CLAUDE_CODE_SESSION_ACCESS_TOKEN"]})
    response = connection.getresponse()
    response.read()
    if response.status == 410: break
    if response.status != 200: print("python:", response.status, flush=True)
    time.sleep(0.005)' &
"$REQUESTER" &
wait`

const (
	brokerRotations = 100
	brokerEvery     = 20 * time.Millisecond
)

// fileRotation replaces the token in a file.
type fileRotation struct {
	path, prefix string

	lock sync.Mutex
	n    int
}

func (f *fileRotation) text(n int) string { return fmt.Sprintf("%s-%d", f.prefix, n) }

func (f *fileRotation) next() error {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.n++
	if err := os.WriteFile(f.path+".new", []byte(f.text(f.n)), 0o600); err != nil {
		return err
	}
	return os.Rename(f.path+".new", f.path)
}

// amongNewest reports whether a token is among the newest n.
func (f *fileRotation) amongNewest(text string, n int) bool {
	f.lock.Lock()
	defer f.lock.Unlock()
	for i := f.n; i > f.n-n; i-- {
		if text == f.text(i) {
			return true
		}
	}
	return false
}

func (f *fileRotation) count() int {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.n - 1
}

// TestRunBrokerRotations has the token rotate while programs send requests with a phantom to a
// service that takes the newest two generations: none of them sees a refusal.
func TestRunBrokerRotations(t *testing.T) {
	need(t, "curl", "node", "python3")
	t.Run("endpoint", func(t *testing.T) {
		c := newBrokerClient(t, "sk-ant-cc-", true)
		issuer, pace := new(refreshtest.Endpoint), newPace()
		pace.takesBack = true
		issuer.SetText(func(n int) string { return fmt.Sprintf("%s-%d", c.token, n) })
		source := sourceFor(t, map[string]any{"from": "endpoint:" + pace.serve(t, issuer), "subject": "session", "refresh": brokerEvery.String()})
		c.rotate(pace, issuer.Accepts, func() int { return issuer.Issued() - 1 }, "--source", source)
	})
	t.Run("file", func(t *testing.T) {
		c := newBrokerClient(t, "sk-ant-cc-", true)
		f := &fileRotation{path: filepath.Join(c.runtime, "token"), prefix: c.token}
		if err := f.next(); err != nil {
			t.Fatal(err)
		}
		c.set("CLAUDE_CODE_SESSION_ACCESS_TOKEN=", "CLAUDE_SESSION_INGRESS_TOKEN_FILE="+f.path)
		over, pace := make(chan struct{}), newPace()
		pace.used = false // the first one
		var rotating sync.WaitGroup
		rotating.Go(func() {
			ticker := time.NewTicker(brokerEvery)
			defer ticker.Stop()
			for {
				select {
				case <-over:
					return
				case <-ticker.C:
				}
				pace.rotate(over, func() {
					if err := f.next(); err != nil {
						t.Error(err)
					}
				})
			}
		})
		c.rotate(pace, f.amongNewest, f.count)
		close(over)
		rotating.Wait()
	})
}

// rotate has the programs send requests until there were enough rotations, and enough requests of
// each.
func (c *brokerClient) rotate(p *pace, amongNewest func(text string, n int) bool, rotated func() int, args ...string) {
	c.t.Helper()
	var lock sync.Mutex
	requests, refused := make(map[string]int), 0
	c.upstream.accepts = func(path, text string) bool {
		accepted := p.accepts(path, text, amongNewest)
		if !accepted {
			lock.Lock()
			refused++
			lock.Unlock()
		}
		return accepted
	}
	least := map[string]int{"/go": 50, "/node": 25, "/python": 50, "/curl": 5}
	enough := func() bool {
		lock.Lock()
		defer lock.Unlock()
		for path, n := range least {
			if requests[path] < n {
				return false
			}
		}
		return true
	}
	for path := range least {
		c.upstream.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			lock.Lock()
			requests[path]++
			lock.Unlock()
			if rotated() >= brokerRotations && enough() {
				p.end()
				c.upstream.hold()
				w.WriteHeader(http.StatusGone)
			}
		})
	}
	c.set("REQUESTER=" + c.program("requester"))
	begun := time.Now()
	events := filepath.Join(c.dir, "events")
	if out := c.runScript(brokerRequesters, append(args, "--events", events)...); out != "" {
		c.t.Errorf("refused: %s", strings.TrimSpace(out))
	}
	if failures := eventsOf(c.t, events, eventFailure); len(failures) > 0 {
		c.t.Errorf("failures: %v", failures)
	}
	c.t.Logf("%d rotations in %v; requests %v, of which the broker sent once more %d", rotated(), time.Since(begun), requests, refused)
}
