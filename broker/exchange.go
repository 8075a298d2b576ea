package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/tokentext"
	"github.com/ingressauth/ingressauth/internal/webclient"
)

// exchange is a request and its answer.
type exchange struct {
	ctx        exchangeContext
	link       link // to the others
	broker     *Broker
	connection *connection
	w          http.ResponseWriter
	r          *http.Request
	record     Record
	target     target
	route      *route
	child      atomic.Pointer[Child] // whose it is; nil if nobody's, or not known yet
	body       *body                 // nil if there is none
	answer     io.Closer             // the body of the upstream's answer; nil if there is none yet
	attached   bool                  // the token is sent with it

	url   url.URL
	trace httptrace.ClientTrace

	hints    sync.Mutex // held where what comes before an answer is written, and for what follows
	answered bool       // the answer is begun, or given up
	hinted   int        // how often something came before it

	sent   atomic.Pointer[sentToken] // with which token; nil if with none
	tunnel atomic.Pointer[tunnel]    // nil if there is none

	lock   sync.Mutex
	stream io.Closer // what goes on for as long as it likes, and with an older token; or nil
	stale  bool      // that was ended for its token
}

// exchangeContext is the context of a request that is sent: that of the request that came, which
// says besides which exchange it is. It is part of the exchange, and made with it.
type exchangeContext struct {
	context.Context
	x *exchange
}

type exchangeKey struct{}

func (c *exchangeContext) Value(key any) any {
	if key == (exchangeKey{}) {
		return c.x
	}
	return c.Context.Value(key)
}

// handler is what the server calls.
type handler struct{ *Broker }

// ServeHTTP serves a request; [http.Handler].
func (b handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{broker: b.Broker, connection: r.Context().Value(connectionKey{}).(*connection), w: w, r: r}
	x.ctx = exchangeContext{r.Context(), x}
	x.record.Time, x.record.Method = time.Now(), r.Method
	b.open.enter(x)
	defer b.open.leave(x)
	defer x.end()
	if f := x.admit(); f != nil {
		x.fail(f)
		return
	}
	// Who removes a child looks who is there after it has said so.
	if child := x.child.Load(); child != nil && child.isOver() || b.closed.Load() {
		x.fail(refusal(InvalidPhantom, "the child has ended, or its phantom has expired"))
		return
	}
	if x.isPing() {
		x.record.Status = http.StatusNoContent
		x.closeAfter()
		x.hurryBody()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	defer x.closeAnswer() // after the body of the request, which that of HTTP/2 waits for
	defer x.endBody()
	if f := x.send(); f != nil {
		x.fail(f)
	}
}

// isPing reports whether a request is about the broker itself, OPTIONS * (RFC 9110, section
// 9.3.7): it says whether the broker takes the phantom.
func (x *exchange) isPing() bool { return x.r.RequestURI == "*" && x.r.Method == http.MethodOptions }

// abort ends the exchange at once, from outside.
func (x *exchange) abort() {
	x.connection.abort()
	if t := x.tunnel.Load(); t != nil {
		t.upstream.Close()
	}
}

// fail answers with a failure.
func (x *exchange) fail(f *failure) {
	x.begin()
	x.record.Reason, x.record.Status = f.reason, f.status
	clear(x.w.Header())
	x.closeAfter()
	if x.r.ProtoMajor == 1 && (f.reason == Malformed || f.reason == TooLarge) { // where the next request begins is in doubt
		x.w.Header()["Connection"] = []string{"close"}
	}
	x.hurryBody()
	f.answer(x.w)
}

// hurryBody bounds how long the server waits for the body of a request that nobody wants, of which
// it reads some before it answers.
func (x *exchange) hurryBody() {
	if x.r.ProtoMajor == 1 && x.body == nil && x.r.ContentLength != 0 {
		x.connection.SetReadDeadline(time.Now().Add(lingerTime))
	}
}

// begin says that the answer is begun, so that nothing else is written before it.
func (x *exchange) begin() {
	x.hints.Lock()
	x.answered = true
	x.hints.Unlock()
}

// closeAfter has the connection close after the answer, if whatever may follow on it is not
// looked at, as it asked to become a WebSocket.
func (x *exchange) closeAfter() {
	if x.r.ProtoMajor == 1 && x.connection.opened.Load() {
		x.w.Header()["Connection"] = []string{"close"}
	}
}

// end tells who is to know.
func (x *exchange) end() {
	x.record.Received, _ = x.body.count()
	if t := x.tunnel.Load(); t != nil {
		x.record.Received, x.record.Sent = t.up.moved.Load(), t.down.moved.Load()
	}
	x.record.Path = x.target.path
	x.record.Duration = time.Since(x.record.Time)
	if child := x.child.Load(); child != nil {
		x.record.Child = child.config.Name
	}
	if x.route != nil {
		x.record.Route = x.route.name
	}
	x.begin()
	if s := x.sent.Load(); s != nil {
		x.record.Token = s.token.Fingerprint()
	}
	texts := x.broker.known.all()
	for _, s := range []*string{&x.record.Method, &x.record.Path} {
		*s = phantom.Mask(*s, mask)
		for _, text := range texts {
			*s = strings.ReplaceAll(*s, text, mask)
		}
	}
	x.broker.meter.count(&x.record, &x.connection.counted)
	if observe := x.broker.config.Observe; observe != nil {
		observe(x.record)
	}
}

// admit says why a request is not sent, or whose it is, and where it goes.
func (x *exchange) admit() *failure {
	c, r := x.connection, x.r
	if r.ProtoMajor == 1 {
		c.requests++
		if v := c.refused(c.requests); v != nil {
			x.record.Method = "" // which was not the client's
			reason := Malformed
			if v.status == http.StatusRequestHeaderFieldsTooLarge {
				reason = TooLarge
			}
			return &failure{reason, v.status, v.detail}
		}
	}
	if r.ProtoMajor != 1 && sizeOf(r) > x.broker.config.MaxHeader {
		return &failure{TooLarge, http.StatusRequestHeaderFieldsTooLarge, headerTooLong}
	}
	if l := c.listener; l.port != "" {
		if !l.isOwn(r.Host) {
			return refusal(WrongHost, "Host is not this port of this machine: requests for other names are sent by pages that have been given this address")
		}
		for _, origin := range r.Header["Origin"] {
			if !l.isOwnOrigin(origin) {
				return refusal(WrongOrigin, "Origin is not this port of this machine")
			}
		}
	}
	if !isToken(r.Method) || isForbidden(r.Method) { // HTTP/2 takes any text for one
		return refusal(Malformed, "the method is none that is sent on")
	}
	for _, host := range r.Header["Host"] { // which HTTP/2 leaves beside :authority
		if !strings.EqualFold(host, r.Host) {
			return refusal(Malformed, "Host is unlike the target")
		}
	}
	if !x.isPing() {
		if f := x.aim(); f != nil {
			return f
		}
	}
	for name := range r.Header {
		if isDisguised(name) {
			return refusal(Malformed, "a field's name has _ or . in place of -, and some servers take it for one that matters")
		}
	}
	var found credential
	if f := found.read(r.Header["Authorization"], r.Header["Cookie"]); f != nil {
		return f
	}
	return x.identify(found)
}

// sizeOf returns about how long the header of a request would be as that of HTTP/1.1, in bytes.
func sizeOf(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	return n
}

// aim finds the route, and what is sent as the target.
func (x *exchange) aim() *failure {
	uri := x.r.RequestURI
	if len(uri) > 0 && uri[0] != '/' && x.r.ProtoMajor == 1 {
		// In absolute form, of which the gate has seen that it names the same as Host.
		_, rest, _ := strings.Cut(uri, "://")
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			uri = rest[i:]
		} else {
			uri = "/"
		}
		if uri[0] == '?' {
			uri = "/" + uri
		}
	}
	t, err := normalize(uri)
	if err != nil {
		return refusal(Malformed, err.Error())
	}
	x.target = t
	for _, r := range x.connection.listener.routes {
		path, ok := r.strip(t.path)
		if !ok {
			continue
		}
		if strings.HasPrefix(path, "//") {
			return refusal(Malformed, errTwoSlashes.Error())
		}
		if len(r.rules) > 0 && t.doubtful {
			return refusal(Malformed, "servers differ on what the path means: it has an encoded slash or control character, a backslash, or dots before a semicolon")
		}
		if len(r.rules) > 0 && slices.ContainsFunc(overrides, func(name string) bool { return x.r.Header[name] != nil }) {
			return refusal(Malformed, "a field names another method or path, which some servers take for that of the request")
		}
		if !r.allows(x.r.Method, path) {
			break
		}
		x.route = r
		x.url = url.URL{Scheme: r.scheme, Host: r.host, Opaque: path}
		if t.query != "" {
			x.url.RawQuery, x.url.ForceQuery = t.query[1:], true
		}
		return nil
	}
	return refusal(NoRoute, "no route is for this path, or its rules allow no such request")
}

// identify says whose a request is.
func (x *exchange) identify(found credential) *failure {
	b, c := x.broker, x.connection
	overSocket := c.listener.socket != nil
	switch {
	case found.phantom != "":
		child := c.last.Load()
		if child == nil || !child.has(found.phantom) {
			child = b.holder(found.phantom)
		}
		if child == nil {
			return refusal(InvalidPhantom, "the phantom is another broker's, or has expired, or was taken back")
		}
		if overSocket && b.peers && child.supervisor != nil && c.child != child {
			return refusal(NotInTree, "the process that has connected does not descend from the supervisor of the child whose phantom it has")
		}
		if found.foreign {
			return refusal(ForeignCredential, "there is another credential beside the phantom")
		}
		x.enter(child)
		x.attached = true
		return nil
	case overSocket && b.peers && c.child == nil && b.supervises():
		return refusal(NotInTree, "the process that has connected does not descend from a child's supervisor")
	case found.foreign && !b.config.PassForeign:
		return refusal(ForeignCredential, "there is a credential that is no phantom, and it is not overwritten")
	case found.foreign:
		x.enter(c.child)
		return nil
	case c.child == nil || b.config.RequirePhantom:
		return refusal(NoPhantom, "a phantom is required, in the place of a token")
	}
	x.enter(c.child)
	x.attached = true
	return nil
}

// enter says whose request it is.
func (x *exchange) enter(child *Child) {
	x.child.Store(child)
	x.connection.last.Store(child)
}

// supervises reports whether there is a child that can be told by its processes.
func (b *Broker) supervises() bool {
	b.lock.RLock()
	defer b.lock.RUnlock()
	for _, c := range b.children {
		if c.supervisor != nil {
			return true
		}
	}
	return false
}

// upgrades reports whether a request asks for a WebSocket, which is all that a connection can
// become.
func upgrades(h http.Header) bool {
	return has(h["Connection"], "upgrade") && has(h["Upgrade"], "websocket")
}

// send sends the request, and what comes back. A failure is still to be answered.
func (x *exchange) send() *failure {
	r, h := x.r, x.r.Header
	websocket := r.ProtoMajor == 1 && upgrades(h)
	trailers := has(h["Te"], "trailers")
	removeHopByHop(h)
	if websocket {
		if r.Method != http.MethodGet {
			return refusal(Malformed, "a WebSocket begins with GET")
		}
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	if trailers {
		h["Te"] = []string{"trailers"}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // so that nobody adds one
	}
	if x.connection.listener.port != "" {
		delete(h, "Origin") // which is ours, and means nothing to the upstream
	}
	if x.broker.config.ScrubBodies {
		h["Accept-Encoding"] = []string{"identity"}
		delete(h, "Range")
		delete(h, "If-Range")
	}
	ctx := context.Context(&x.ctx)
	// An HTTP/2 client's header is still read when it has gone away, and cannot be used again
	// for the answer. Where a client waits for 100, the server may be about to write that.
	if r.ProtoMajor == 1 && r.ProtoMinor == 1 && h["Expect"] == nil {
		x.trace.Got1xxResponse = x.pass1xx
		ctx = httptrace.WithClientTrace(ctx, &x.trace)
	}
	out := r.WithContext(ctx)
	out.URL, out.Host, out.RequestURI, out.Close, out.TransferEncoding = &x.url, "", "", false, nil
	if limit := x.broker.config.MaxBody; limit > 0 && r.ContentLength > limit {
		return tooLarge()
	}
	if r.Body != http.NoBody && r.ContentLength != 0 {
		x.body = &body{ReadCloser: r.Body, request: r, limit: x.broker.config.MaxBody, waits: h["Expect"] != nil}
		out.Body, out.GetBody = x.body, x.body.again
		if w, ok := x.w.(interface{ EnableFullDuplex() error }); ok && r.ProtoMajor == 1 {
			w.EnableFullDuplex()
		}
	}
	var response *http.Response
	var err error
	if x.attached {
		response, err = x.broker.transport.RoundTrip(out)
	} else {
		response, err = x.broker.plain.RoundTrip(out)
	}
	x.begin()
	if err != nil {
		return x.explain(err)
	}
	if x.attached && x.broker.tokenless.Load() && x.broker.tokenless.Swap(false) {
		x.broker.config.Log.Info("there is a token for requests again")
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return x.switchProtocols(response, websocket)
	}
	x.answer = response.Body
	return x.pass(response)
}

// whereWhy says where more is said of a failure than a child is to know.
const whereWhy = "the broker's log says why, which is --events of ingressauth run"

func (x *exchange) closeAnswer() {
	if x.answer != nil {
		x.answer.Close()
	}
}

// endBody ends the body of a request, which nobody may read after that, and of which the
// upstream may not have wanted all. Whoever reads it may wait for a client that waits for the
// answer, so that has to be on its way.
func (x *exchange) endBody() {
	if x.body == nil || x.body.isWhole() {
		return
	}
	if x.r.ProtoMajor == 1 && x.tunnel.Load() == nil {
		if x.ctx.Err() == nil {
			x.flush()
		}
		x.connection.stop()
	}
	x.body.ReadCloser.Close()
}

// explain makes an answer of why none came.
func (x *exchange) explain(err error) *failure {
	_, wrong := x.body.count()
	if x.ctx.Err() != nil && wrong == nil { // nobody waits for an answer any more
		panic(http.ErrAbortHandler)
	}
	if errors.Is(wrong, errTooLong) {
		return tooLarge()
	} else if v := x.connection.refused(x.connection.requests); v != nil && x.r.ProtoMajor == 1 {
		return &failure{Malformed, v.status, v.detail}
	} else if wrong != nil {
		return refusal(Malformed, "the body of the request ended too soon, or is malformed")
	}
	if x.attached && x.sent.Load() == nil {
		if !x.broker.tokenless.Swap(true) { // which is said once
			x.broker.config.Log.Warn("there is no token for requests", "err", err)
		}
		return refusal(NoToken, "there is no token, or it cannot be had now; "+whereWhy)
	}
	x.noteFailing(err)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return refusal(UpstreamSlow, "the upstream did not answer in time")
	}
	return refusal(UpstreamFailed, "the upstream could not be reached, ended before it had answered, or sent what is no answer; "+whereWhy)
}

// noteWorking has it logged that an upstream that has failed has answered a request whole.
func (x *exchange) noteWorking() {
	if x.route.failing.Load() && x.route.failing.Swap(false) {
		x.broker.config.Log.Info("the upstream answers again", "route", x.route.name)
	}
}

// noteFailing has it logged that the upstream fails, once until it does not.
func (x *exchange) noteFailing(err error) {
	if x.route.failing.Swap(true) {
		return
	}
	// What the upstream has sent may stand in the error.
	reason := tokentext.Mask(err.Error(), x.broker.known.all()...)
	x.broker.config.Log.Warn("an upstream fails", "route", x.route.name, "err", webclient.WithoutHost(errors.New(reason)))
}
