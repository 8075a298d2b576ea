package broker

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/tokentext"
	"github.com/ingressauth/ingressauth/internal/webclient"
)

// Config is what a [Broker] is made of.
type Config struct {
	// Source has the real token. It is asked for every request, and if it is an
	// [ingressauth.Renewer], for another one when an upstream has refused a token. A phantom
	// is no token here, of whichever broker. It is required.
	Source ingressauth.Source

	// Routes say which requests go where. At least one is needed.
	Routes []Route

	// RequirePhantom has requests on Unix sockets need a phantom, too, if they come from a
	// child's tree.
	RequirePhantom bool

	// PassForeign lets requests through that carry a credential of their own, which is no
	// phantom, as they are and without the token. Otherwise they are refused.
	PassForeign bool

	// CloseOnRotate has WebSockets and streams that were begun with a token end when there is
	// another one: WebSockets with status 1008 (RFC 6455, section 7.4.1), within a second or
	// two. Otherwise they go on.
	CloseOnRotate bool

	// ScrubBodies has the token looked for in the bodies of answers, too. Then upstreams are
	// asked for no encoding and no ranges, answers have no length and no validators, and one
	// that is encoded or partial is not passed on. What is transformed (in base64, in JSON
	// with escapes, in pieces between which there is something) is not found, and WebSockets
	// are not looked into.
	ScrubBodies bool

	// MaxHeader bounds a request's header, and MaxBody its body, in bytes. 0 means 64 KiB, and
	// no bound: bodies are not kept.
	MaxHeader int
	MaxBody   int64

	// AnswerTime is how long an upstream may take to begin an answer when it has the whole
	// request. 0 means ten minutes.
	AnswerTime time.Duration

	// Transport sends to the upstreams, and sees the token. Nil means one with bounds, which
	// takes a proxy for https from the environment.
	Transport *http.Transport

	// Observe is called with each request that has ended, by many goroutines at once. It is to
	// return soon. Nil means that nobody is told. See [AccessLog].
	Observe func(Record)

	// Log is told what goes wrong besides, and no token. Nil means that nothing is logged.
	Log *slog.Logger
}

const (
	maxHeader  = 64 << 10
	answerTime = 10 * time.Minute
	// idleTime is how long a connection of a client may have nothing to do.
	idleTime = 2 * time.Minute
	// maxIdle is how many connections to an upstream wait for the next request.
	maxIdle = 1024
	// maxGenerations is how many tokens are looked for in answers, the newest and those before.
	maxGenerations = 16
	// watchTime is how often it is looked for another token, where something ends with the old
	// one.
	watchTime = 250 * time.Millisecond
)

var errClosed = errors.New("broker: closed")

// Broker is a proxy that holds the token for its children. It is made by [New], may be used
// concurrently, and is ended by [Broker.Close].
type Broker struct {
	config    Config
	routes    []*route
	maxHeader int
	peers     bool // who has connected to a Unix socket can be told
	transport ingressauth.Transport
	plain     http.RoundTripper // without a token
	server    http.Server
	serving   sync.WaitGroup
	meter     meter
	open      crowd
	tokenless atomic.Bool // and that was said
	closing   atomic.Bool
	known     generations
	cancel    context.CancelFunc

	lock        sync.RWMutex
	children    map[[32]byte]*Child // by the digest of their phantoms
	connections map[*connection]struct{}
	listeners   []*Listener
	tunnels     map[*exchange]struct{} // what CloseOnRotate ends
	closed      bool
}

// New returns a Broker that nobody can use yet. It returns an error if the configuration makes
// no sense. The caller closes it.
func New(c Config) (*Broker, error) {
	if c.Source == nil {
		return nil, errors.New("broker: no Source")
	}
	if c.MaxHeader < 0 || c.MaxBody < 0 || c.AnswerTime < 0 {
		return nil, errors.New("broker: a bound is negative")
	}
	routes, err := newRoutes(c.Routes)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b := &Broker{
		config: c, routes: routes, maxHeader: c.MaxHeader, peers: canTellPeers(),
		children: make(map[[32]byte]*Child), connections: make(map[*connection]struct{}), tunnels: make(map[*exchange]struct{}),
	}
	if b.maxHeader == 0 {
		b.maxHeader = maxHeader
	}
	if b.config.Log == nil {
		b.config.Log = slog.New(slog.DiscardHandler)
	}
	base := c.Transport
	if base == nil {
		base = newTransport(c.AnswerTime)
	}
	var origins []string
	for _, r := range routes {
		origins = append(origins, r.origin)
		if err := checkProxy(base, r); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
	}
	b.plain = base
	b.transport = ingressauth.Transport{Source: &source{b}, Base: &sender{b, base}, Origins: origins}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	b.server = http.Server{
		Handler:                      handler{b},
		Protocols:                    &protocols,
		MaxHeaderBytes:               b.maxHeader,
		ReadHeaderTimeout:            headTime,
		IdleTimeout:                  idleTime,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(&errorLog{b}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			made := c.(*connection)
			ctx, cancel := context.WithCancel(ctx)
			made.cancel.Store(&cancel)
			return context.WithValue(ctx, connectionKey{}, made)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	if c.CloseOnRotate {
		b.serving.Go(func() { b.watch(ctx) })
	}
	return b, nil
}

// checkProxy refuses a transport that would show the token to a proxy.
func checkProxy(t *http.Transport, r *route) error {
	if t.Proxy == nil || r.scheme != "http" {
		return nil
	}
	if proxy, err := t.Proxy(&http.Request{URL: &url.URL{Scheme: r.scheme, Host: r.host}}); proxy != nil || err != nil {
		return fmt.Errorf("route %s: the Transport has a proxy for it, which would see the token: take it out of the proxy's hosts", shown(r.name))
	}
	return nil
}

// errorLog takes what the server has to say.
type errorLog struct{ *Broker }

func (l *errorLog) Write(p []byte) (int, error) {
	l.config.Log.Warn("the broker's server", "err", tokentext.Mask(strings.TrimSpace(string(p)), l.known.all()...))
	return len(p), nil
}

// newTransport is what a Broker sends with. An upstream takes as long as it takes for a whole
// answer.
func newTransport(answer time.Duration) *http.Transport {
	t := webclient.NewTransport()
	t.MaxIdleConnsPerHost = maxIdle
	t.DisableCompression = true // what the child asks for is what it gets
	t.ResponseHeaderTimeout = answer
	if answer == 0 {
		t.ResponseHeaderTimeout = answerTime
	}
	t.ExpectContinueTimeout = webclient.Timeout
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &patient{Conn: c, time: t.ResponseHeaderTimeout}, nil
	}
	proxy := t.Proxy
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme != "https" { // this machine, without a way round
			return nil, nil
		}
		return proxy(r)
	}
	return t
}

// patient is a connection to an upstream that is taken for dead when it takes nothing for so long.
type patient struct {
	net.Conn
	time     time.Duration
	patience patience
}

func (p *patient) Write(b []byte) (int, error) {
	p.patience.extend(p.Conn, p.time)
	return p.Conn.Write(b)
}

type connectionKey struct{}

// Listen takes requests at an address from now on: "unix:" and the absolute path of a socket,
// or a loopback address and a port, of which 0 means any that is free.
//
// A socket has mode 0600, in a directory of mode 0700, which is made if it is not there. One
// that nobody listens on any more is replaced, one in use is not, and no link is followed. On
// Linux 6.5 and later a request there is one of the child in whose tree the process is that has
// connected, and needs no phantom; elsewhere the phantom is required. On a port it always is,
// and whoever has it is trusted: any process of this machine can connect.
func (b *Broker) Listen(address string) (*Listener, error) {
	l, err := b.listen(address)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.closed {
		l.inner.Close()
		if l.socket != nil {
			l.socket.close()
		}
		return nil, errClosed
	}
	b.listeners = append(b.listeners, l)
	b.serving.Go(func() {
		if err := b.server.Serve(acceptor{l}); !errors.Is(err, http.ErrServerClosed) {
			b.config.Log.Error("the broker no longer takes requests", "listener", l.url, "err", err)
		}
	})
	return l, nil
}

// Close removes all children, closes all connections and listeners, and waits until nothing is
// left.
func (b *Broker) Close() error {
	b.closing.Store(true)
	b.lock.Lock()
	b.closed = true
	var children []*Child
	for _, c := range b.children {
		children = append(children, c)
	}
	listeners := b.listeners
	b.listeners = nil
	var connections []*connection
	for c := range b.connections {
		connections = append(connections, c)
	}
	b.lock.Unlock()
	for _, c := range children {
		c.Remove()
	}
	b.cancel()
	err := b.server.Close()
	for _, x := range b.open.which(func(*exchange) bool { return true }) {
		x.abort()
	}
	for _, c := range connections {
		c.abort()
	}
	for _, l := range listeners {
		if l.socket != nil {
			l.socket.close()
		}
	}
	b.serving.Wait()
	b.open.wait()
	b.transport.CloseIdleConnections()
	return err
}

// generations are the tokens that may be good still.
type generations struct {
	lock sync.Mutex // for changes
	now  atomic.Pointer[generation]
}

// generation is what is known of them. It does not change.
type generation struct {
	tokens []*sent  // newest last
	texts  []string // theirs, the longest first
}

// sent is a token that was sent, or is about to be.
type sent struct {
	token ingressauth.Token
	text  string
}

func (g *generations) load() *generation {
	if now := g.now.Load(); now != nil {
		return now
	}
	return &generation{}
}

// note takes a token in, if it is another one.
func (g *generations) note(t ingressauth.Token) {
	if now := g.load(); len(now.tokens) > 0 && now.tokens[len(now.tokens)-1].token == t {
		return
	}
	g.lock.Lock()
	defer g.lock.Unlock()
	kept := make([]*sent, 0, maxGenerations)
	for _, other := range g.load().tokens {
		if other.token != t {
			kept = append(kept, other)
		}
	}
	next := &generation{tokens: append(kept[max(0, len(kept)+1-maxGenerations):], &sent{t, t.Reveal()})}
	for _, s := range next.tokens {
		next.texts = append(next.texts, s.text)
	}
	sort.Slice(next.texts, func(i, j int) bool { return len(next.texts[i]) > len(next.texts[j]) })
	g.now.Store(next)
}

// all returns their texts, the longest first. The slice does not change.
func (g *generations) all() []string { return g.load().texts }

// find returns the one with which a header is sent.
func (g *generations) find(h http.Header) *sent {
	for _, s := range slices.Backward(g.load().tokens) {
		if carries(h["Authorization"], "Bearer ", s.text) || carries(h["Cookie"], cookieName+"=", s.text) {
			return s
		}
	}
	return nil
}

// carries reports whether a field ends with this, where [ingressauth.Token.SetHeader] puts it.
func carries(values []string, intro, text string) bool {
	for _, value := range values {
		if rest, ok := strings.CutSuffix(value, text); ok && strings.HasSuffix(rest, intro) {
			return true
		}
	}
	return false
}

// sender is under the transport that attaches the token, and notes which one it is.
type sender struct {
	*Broker
	base *http.Transport
}

func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		x.sent.Store(s.known.find(r.Header))
	}
	return s.base.RoundTrip(r)
}

func (s *sender) CloseIdleConnections() { s.base.CloseIdleConnections() }

// errPhantom is what a source has that has found what a child was given.
var errPhantom = fmt.Errorf("%w: what was found is a phantom, which a child of a broker has kept", ingressauth.ErrNoToken)

// source is the broker's own, less phantoms.
type source struct{ *Broker }

func (s *source) Token(ctx context.Context) (ingressauth.Token, error) {
	return s.checked(s.config.Source.Token(ctx))
}

func (s *source) Renew(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	r, ok := s.config.Source.(ingressauth.Renewer)
	if !ok {
		return ingressauth.Token{}, ingressauth.ErrNoToken
	}
	s.meter.renewals.Add(1)
	return s.checked(r.Renew(ctx, refused))
}

// checked is what a source has returned, noted if it is a token.
func (s *source) checked(t ingressauth.Token, err error) (ingressauth.Token, error) {
	switch {
	case err != nil:
		return ingressauth.Token{}, err
	case t.IsZero():
		return t, ingressauth.ErrNoToken
	case phantom.Is(t.Reveal()):
		return ingressauth.Token{}, errPhantom
	}
	s.known.note(t)
	return t, nil
}
