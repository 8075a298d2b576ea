package broker

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	realToken  = "sk-ant-cc-made-up-real-token-of-a-test"
	newerToken = "sk-ant-cc-made-up-newer-token-of-a-test"
	sessionKey = "sk-ant-sid01-made-up-real-key-of-a-test"
)

// world is a broker before an upstream, with a child.
type world struct {
	t        testing.TB
	broker   *Broker
	child    *Child
	upstream *httptest.Server
	token    *rotating
	records  *records
	port     *Listener
	client   *http.Client
}

// rotating is a source that a test sets.
type rotating struct {
	lock    sync.Mutex
	token   ingressauth.Token
	next    ingressauth.Token // that Renew has
	err     error
	renewed int
}

func (r *rotating) set(t testing.TB, text, organization string) {
	t.Helper()
	r.lock.Lock()
	defer r.lock.Unlock()
	r.token = tokenOf(t, text, organization)
}

func (r *rotating) Token(context.Context) (ingressauth.Token, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.token, r.err
}

func (r *rotating) Renew(_ context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.renewed++
	if r.token != refused {
		return r.token, nil
	}
	if r.next.IsZero() {
		return ingressauth.Token{}, ingressauth.ErrNoToken
	}
	r.token, r.next = r.next, ingressauth.Token{}
	return r.token, nil
}

func tokenOf(t testing.TB, text, organization string) ingressauth.Token {
	t.Helper()
	token, err := ingressauth.NewToken(text, organization)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// records are what the broker has said of requests.
type records struct {
	lock sync.Mutex
	list []Record
}

func (r *records) add(record Record) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.list = append(r.list, record)
}

// last waits for so many, and returns the last of them.
func (r *records) last(t testing.TB, n int) Record {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.lock.Lock()
		list := r.list
		r.lock.Unlock()
		if len(list) >= n {
			return list[n-1]
		}
	}
	t.Fatalf("waited in vain for record %d", n)
	return Record{}
}

// newWorld has the upstream serve this, and the broker be configured by that.
func newWorld(t testing.TB, handler http.HandlerFunc, configure func(*Config)) *world {
	t.Helper()
	w := &world{t: t, upstream: httptest.NewServer(handler), token: new(rotating), records: new(records)}
	t.Cleanup(w.upstream.Close)
	w.token.set(t, realToken, "")
	c := Config{Source: w.token, Routes: []Route{{Upstream: w.upstream.URL}}, Observe: w.records.add}
	if configure != nil {
		configure(&c)
	}
	var err error
	if w.broker, err = New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.broker.Close() })
	w.port = w.listen("127.0.0.1:0")
	if w.child, err = w.broker.Add(ChildConfig{Name: "child"}); err != nil {
		t.Fatal(err)
	}
	w.client = newClient(t)
	return w
}

func newClient(t testing.TB) *http.Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// useHTTP2 has a client use HTTP/2 without TLS.
func useHTTP2(c *http.Client) {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	c.Transport.(*http.Transport).Protocols = &p
}

func (w *world) listen(address string) *Listener {
	w.t.Helper()
	l, err := w.broker.Listen(address)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// request returns one that carries the phantom.
func (w *world) request(method, path string, body io.Reader) *http.Request {
	w.t.Helper()
	r, err := http.NewRequest(method, w.port.URL()+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.child.Phantom().SetHeader(r.Header)
	return r
}

// do sends a request and returns the answer and its body.
func (w *world) do(r *http.Request) (*http.Response, string) {
	w.t.Helper()
	return do(w.t, w.client, r)
}

func do(t testing.TB, client *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(b)
}

// reasonOf returns the reason in the body of an answer that is the broker's own.
func reasonOf(t testing.TB, response *http.Response, body string) Reason {
	t.Helper()
	if response.Header.Get("Content-Type") != "application/problem+json" {
		return ""
	}
	var problem struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	reason, ok := strings.CutPrefix(problem.Type, problemType)
	if !ok || problem.Status != response.StatusCode || problem.Title == "" || problem.Detail == "" {
		t.Errorf("problem %s", body)
	}
	return Reason(reason)
}

// echo answers with the credential that it got.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header()["X-Got-Authorization"] = r.Header["Authorization"]
	w.Header()["X-Got-Cookie"] = r.Header["Cookie"]
	w.Header()["X-Got-Organization"] = r.Header["X-Organization-Uuid"]
	io.Copy(io.Discard, r.Body)
	w.Header()["X-Got-Path"] = []string{r.RequestURI}
	w.Header().Set("X-Got-Host", r.Host)
	io.WriteString(w, "hello\n")
}
