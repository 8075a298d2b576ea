package broker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ingressauth/ingressauth/internal/tokentext"
	"github.com/ingressauth/ingressauth/internal/webclient"
)

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

// checkProxy refuses a transport that would show the token to a proxy.
func checkProxy(t *http.Transport, r *route) error {
	if t.Proxy == nil || r.scheme != "http" {
		return nil
	}
	if proxy, err := t.Proxy(&http.Request{URL: &url.URL{Scheme: r.scheme, Host: r.host}}); proxy != nil || err != nil {
		return fmt.Errorf("route %s: the Transport has a proxy for it, which would see the token: take it out of the proxy's hosts", tokentext.Shown(r.name))
	}
	return nil
}

// newTransport is what a Broker sends with. An upstream takes as long as it takes for a whole
// answer.
func newTransport(answer time.Duration) *http.Transport {
	t := webclient.NewTransport()
	t.MaxIdleConnsPerHost = maxIdle
	t.DisableCompression = true // what the child asks for is what it gets
	t.ResponseHeaderTimeout = answer
	t.ExpectContinueTimeout = webclient.Timeout
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		// At the other address of localhost there could be somebody else, who would get the token.
		if port, ok := strings.CutPrefix(address, "localhost:"); ok {
			address = "127.0.0.1:" + port
		}
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

// patience is a write deadline that is put off as long as there is progress. To set it for each
// write would cost more than most writes.
type patience struct {
	lock sync.Mutex
	set  time.Time // when it was last put off
}

func (p *patience) extend(c net.Conn, d time.Duration) {
	now := time.Now()
	p.lock.Lock()
	defer p.lock.Unlock()
	if now.Sub(p.set) > d/8 {
		p.set = now
		c.SetWriteDeadline(now.Add(d))
	}
}
