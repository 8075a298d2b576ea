//go:build linux

package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/refresh/refreshtest"
)

func init() { testPrograms["requester"] = requester }

// requester sends requests to $SERVICE by a Transport, which sends one that is refused once
// more, until the answer is that it is over.
func requester() int {
	service := os.Getenv("SERVICE")
	ingressauth.Default.RenewWait = time.Second
	client := &http.Client{Transport: &ingressauth.Transport{Origins: []string{service}}}
	for {
		response, err := client.Get(service + "/go" + os.Getenv("NUMBER"))
		if err != nil {
			fmt.Println(err)
			return 1
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		switch response.StatusCode {
		case http.StatusGone:
			return 0
		case http.StatusOK:
		default:
			fmt.Println("go: refused again:", response.StatusCode)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// The same in other languages: who is refused reads the token anew, and sends the request once
// more.
const (
	curlRequester = `
send() { ingressauth headers | curl -sS -o /dev/null -w '%{http_code}' -H @- "$SERVICE/curl$NUMBER"; }
while code=$(send); do
	[ "$code" = 401 ] && code=$(send)
	case $code in 200) ;; 410) exit 0 ;; *) echo "curl: refused again: $code" ;; esac
	sleep 0.05
done
echo curl: it failed`
	nodeRequester = `
const fs = require("node:fs"), http = require("node:http");
const agent = new http.Agent({ keepAlive: true });
const send = () => new Promise((resolve, reject) => {
  const token = fs.readFileSync(process.env.CLAUDE_SESSION_INGRESS_TOKEN_FILE, "utf8").trim();
  http.get(process.env.SERVICE + "/node" + process.env.NUMBER, { agent, headers: { authorization: "Bearer " + token } }, (r) => {
    r.resume().on("end", () => resolve(r.statusCode));
  }).on("error", reject);
});
(async () => {
  for (;;) {
    let code = await send();
    if (code === 401) code = await send();
    if (code === 410) process.exit(0);
    if (code !== 200) console.log("node: refused again: " + code);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
})();`
	pythonRequester = `
import http.client, os, time, urllib.parse
connection = http.client.HTTPConnection(urllib.parse.urlparse(os.environ["SERVICE"]).netloc)
def send():
    token = open(os.environ["CLAUDE_SESSION_INGRESS_TOKEN_FILE"]).read().strip()
    connection.request("GET", "/python" + os.environ["NUMBER"], headers={"Authorization": "Bearer " + token})
    response = connection.getresponse()
    response.read()
    return response.status
while True:
    code = send()
    if code == 401: code = send()
    if code == 410: break
    if code != 200: print("python: refused again:", code, flush=True)
    time.sleep(0.005)`
)

// How many rotations there are, and how far apart at least. CI has a thousand, 50 milliseconds
// apart, when nothing else runs.
var (
	rotations     = flag.Int("rotations", 100, "of the token in TestRunRotations")
	rotationsTime = flag.Duration("every", 200*time.Millisecond, "the time between two of them")
)

// pace has rotations wait for whoever is held up. There is no other token until the newest was
// used, and until all who were refused were served. So two rotations never come between a refusal
// and the same request once more.
type pace struct {
	// takesBack has every tenth token come when the one before was taken back, and refused. It
	// is for who waits for another one then.
	takesBack bool

	lock    sync.Mutex
	count   int             // of rotations
	used    bool            // the newest token
	none    bool            // is accepted
	refused map[string]bool // who was refused, and not served since
	over    bool            // nobody is refused or waits any more
}

func newPace() *pace { return &pace{used: true, refused: make(map[string]bool)} }

// accepts takes a token of the newest two from somebody.
func (p *pace) accepts(who, text string, amongNewest func(text string, n int) bool) bool {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.over {
		return true
	}
	if p.none || !amongNewest(text, 2) {
		p.refused[who] = true
		return false
	}
	delete(p.refused, who)
	p.used = p.used || amongNewest(text, 1)
	return true
}

// end has nobody be refused or wait any more.
func (p *pace) end() {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.over = true
}

// rotate calls next when it is time for another token, unless nobody wants it any more.
func (p *pace) rotate(unwanted <-chan struct{}, next func()) {
	for {
		p.lock.Lock()
		ready := p.used && len(p.refused) == 0
		if ready && p.takesBack && p.count%10 == 9 {
			p.none, ready = true, false
		}
		if ready || p.none && len(p.refused) > 0 || p.over {
			p.used, p.none = false, false
			p.count++
			next()
			p.lock.Unlock()
			return
		}
		p.lock.Unlock()
		select {
		case <-unwanted:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// serve starts an endpoint, and returns its URL.
func (p *pace) serve(t testing.TB, issuer *refreshtest.Endpoint) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm() // or nobody notices that the client is gone
		p.rotate(r.Context().Done(), func() { issuer.ServeHTTP(w, r) })
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestRunRotations has the token rotate while eight processes below a run send requests to a
// service that takes the newest two generations: none is refused after it was sent once more.
func TestRunRotations(t *testing.T) {
	need(t, "bash", "curl", "node", "python3")
	issuer, pace := new(refreshtest.Endpoint), newPace()
	var lock sync.Mutex
	requests, refused := make(map[string]int), make(map[string]int)
	least := map[string]int{"/go": *rotations, "/node": *rotations, "/python": *rotations, "/curl": *rotations / 4}
	enough := func() bool { // of each, or there are so many rotations that it will not come to that
		for kind, n := range least {
			if requests[kind] < n {
				return issuer.Issued() > 5**rotations
			}
		}
		return true
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		accepted := pace.accepts(r.URL.Path, text, issuer.Accepts)
		kind := filepath.Dir(r.URL.Path)
		lock.Lock()
		requests[kind]++
		if !accepted {
			refused[kind]++
		}
		over := issuer.Issued() > *rotations && enough()
		lock.Unlock()
		switch {
		case over:
			pace.end()
			w.WriteHeader(http.StatusGone)
		case !accepted:
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer service.Close()

	w := newRunWorld(t)
	// Runtime directories are in memory. A disk that others write to takes longer, now and then,
	// than two rotations do here.
	if runtime, err := os.MkdirTemp("/dev/shm", "ingressauth-test-"); err == nil {
		defer os.RemoveAll(runtime)
		w.set("XDG_RUNTIME_DIR=" + runtime)
	}
	dir := t.TempDir()
	w.set("SERVICE="+service.URL, "REQUESTER="+w.program("requester"))
	var script strings.Builder
	for interpreter, text := range map[string]string{"bash": curlRequester, "node": nodeRequester, "python3": pythonRequester} {
		path := filepath.Join(dir, interpreter)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&script, "NUMBER=/1 %[1]s %[2]s & NUMBER=/2 %[1]s %[2]s & ", interpreter, path)
	}
	fmt.Fprintf(&script, `NUMBER=/1 "$REQUESTER" & NUMBER=/2 "$REQUESTER" & wait`)
	events := filepath.Join(dir, "events")
	source := sourceFor(t, map[string]any{"from": "endpoint:" + pace.serve(t, issuer), "subject": "session", "refresh": rotationsTime.String()})
	begun := time.Now()
	out, errs, code := w.output(w.run("--source", source, "--events", events, "--", "bash", "-c", script.String()))
	if out != "" || errs != "" || code != 0 {
		t.Errorf("%s%s%d", out, errs, code)
	}
	if failures := eventsOf(t, events, eventFailure); len(failures) > 0 {
		t.Errorf("failures: %v", failures)
	}
	lock.Lock()
	defer lock.Unlock()
	t.Logf("%d rotations in %v; requests %v, of which were sent once more %v", issuer.Issued()-1, time.Since(begun), requests, refused)
	for path, n := range least {
		if requests[path] < n {
			t.Errorf("%d requests to %s, want %d at least", requests[path], path, n)
		}
	}
}
