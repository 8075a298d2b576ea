package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// Config is what a [Broker] is made of.
type Config struct {
	// Source has the real token. It is asked for each request that is sent with it and, with
	// CloseOnRotate, four times a second while a WebSocket or a stream is open; if it is an
	// [ingressauth.Renewer], also for another one when an upstream has refused a token. A
	// phantom is no token here, of whichever broker. It is required.
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

	// MaxHeader bounds the header of a request, in bytes. 0 means 64 KiB.
	MaxHeader int

	// MaxBody bounds the body of a request, in bytes. 0 means no bound. Bodies stream through;
	// the first 64 KiB are kept while a request may have to be sent again.
	MaxBody int64

	// AnswerTime is how long an upstream may take to begin an answer when it has the whole
	// request, and how long it may read nothing of one. 0 means ten minutes. It has no effect
	// on a Transport of your own: set ResponseHeaderTimeout there.
	AnswerTime time.Duration

	// Transport sends to the upstreams, and sees the token. Nil means one with bounds, which
	// takes a proxy for https from the environment. One of your own should have
	// DisableCompression; it must not have a proxy for an upstream of the scheme http; and
	// [Broker.Close] closes its idle connections.
	Transport *http.Transport

	// Observe is called with each request that has ended, by many goroutines at once. It is to
	// return soon, and must not call [Broker.Close], which waits for it. Nil means that nobody
	// is told. See [AccessLog].
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
	peers     bool // who has connected to a Unix socket can be told
	transport ingressauth.Transport
	plain     http.RoundTripper // without a token
	closeTime time.Duration     // the constant, but in tests
	server    http.Server
	serving   sync.WaitGroup
	meter     meter
	open      crowd
	tokenless atomic.Bool // and that was said
	closed    atomic.Bool // set before the lock is taken to close what is there
	known     knownTokens
	cancel    context.CancelFunc

	lock        sync.RWMutex
	children    map[[32]byte]*Child // by the digest of their phantoms
	connections map[*connection]struct{}
	listeners   []*Listener
	rotating    map[*exchange]struct{} // what CloseOnRotate ends, when there is another token
}

// New returns a Broker that nobody can use yet. It returns an error if the configuration makes
// no sense. The caller closes it, also if nobody has used it.
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
	c.MaxHeader, c.AnswerTime = cmp.Or(c.MaxHeader, maxHeader), cmp.Or(c.AnswerTime, answerTime)
	b := &Broker{
		config: c, routes: routes, peers: canTellPeers(), closeTime: closeTime,
		children: make(map[[32]byte]*Child), connections: make(map[*connection]struct{}), rotating: make(map[*exchange]struct{}),
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
		MaxHeaderBytes:               4 * min(c.MaxHeader, 1<<28), // past which the server of HTTP/2 has its own words
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

// errorLog takes what the server has to say.
type errorLog struct{ *Broker }

func (l *errorLog) Write(p []byte) (int, error) {
	l.config.Log.Warn("the broker's server", "err", tokentext.Mask(strings.TrimSpace(string(p)), l.known.all()...))
	return len(p), nil
}

type connectionKey struct{}

// Listen takes requests at an address from now on: "unix:" and the absolute path of a socket,
// or a loopback address and a port, of which 0 means any that is free.
//
// A socket has mode 0600, in a directory of mode 0700, which is made if it is not there. One
// that nobody listens on any more is replaced, one in use is not, and no link is followed. (Root may
// listen in another user's directory, who can then put another socket in its place.) On
// Linux 6.5 and later a request there is one of the child with a supervisor in whose tree the
// process is that has connected, and needs no phantom; elsewhere the phantom is required. On a
// port it always is, and whoever has it is trusted: any process of this machine can connect.
func (b *Broker) Listen(address string) (*Listener, error) {
	l, err := b.listen(address)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.lock.Lock()
	defer b.lock.Unlock()
	if b.closed.Load() {
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

// Close removes all children, closes all connections and listeners, and waits until no request is
// left. It may be called more than once. The error is that of closing listeners.
func (b *Broker) Close() error {
	b.closed.Store(true)
	b.lock.Lock()
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

// errPhantom is what a source has that has found what a child was given.
var errPhantom = fmt.Errorf("%w: %w", ingressauth.ErrNoToken, phantom.ErrFound)

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
