package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/broker"
	"github.com/ingressauth/ingressauth/internal/loopback"
	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// brokerOptions are the flags of who holds the token for others.
type brokerOptions struct {
	upstreams upstreamsFlag
	listen    []string
	allow     allowFlag
	foreign   *oneOf
	streams   *oneOf
	scrub     bool
	required  bool // a phantom, from who can be told without one, too
	accessLog string
	metrics   string
	owner     int // a user besides this one who may own a socket's directory; 0 is nobody but root
}

const defaultListen = "127.0.0.1:0"

// register adds their flags, and returns their names.
func (o *brokerOptions) register(cmd *cobra.Command) (names []string) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.allow.of = &o.upstreams
	o.foreign = &oneOf{"refuse", []string{"refuse", "pass"}}
	o.streams = &oneOf{"keep", []string{"keep", "close"}}
	flags.Var(&o.upstreams, "upstream", "send requests to this `origin`, with the token; WHERE=ORIGIN are those to a path or a listener: /name/=https://service.example; may be repeated")
	flags.Var(&o.allow, "allow", "a `rule` for the upstream before it: methods and a path, as 'GET,HEAD /v1/' or '* /v1/items'; may be repeated")
	flags.StringArrayVar(&o.listen, "listen", nil, "an `address` to listen on: unix:PATH, or 127.0.0.1:PORT, of which 0 is any that is free (default "+defaultListen+"); may be repeated")
	flags.Var(o.foreign, "foreign", "`what` becomes of a request with a credential of its own: "+o.foreign.Type())
	flags.Var(o.streams, "streams", "`what` becomes of open WebSockets and streams when the token was replaced: "+o.streams.Type())
	flags.BoolVar(&o.scrub, "scrub-bodies", false, "look for the token in the bodies of answers, too")
	flags.StringVar(&o.accessLog, "access-log", "", "append a line of JSON for each request to this `file`")
	flags.StringVar(&o.metrics, "metrics", "", "answer at /metrics of this `address`, 127.0.0.1:PORT, with counters in the form of OpenMetrics")
	cmd.Flags().AddFlagSet(flags)
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	cmd.RegisterFlagCompletionFunc("foreign", cobra.FixedCompletions(o.foreign.words, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("streams", cobra.FixedCompletions(o.streams.words, cobra.ShellCompDirectiveNoFileComp))
	return names
}

// check refuses what cannot be, before anything is started.
func (o *brokerOptions) check(cmd *cobra.Command) error {
	if len(o.upstreams) == 0 {
		return usageError("--upstream is missing: name the origin that requests go to, as https://service.example")
	}
	c := o.config()
	c.Source = ingressauth.Static(ingressauth.Token{})
	b, err := broker.New(c)
	if err != nil {
		return usageError("--upstream or --allow: " + ofBroker(err).Error())
	}
	b.Close()
	for _, address := range o.listen {
		if !strings.HasPrefix(address, "unix:") && loopback.Check(address) != nil {
			return usageError("--listen takes unix:PATH, or a loopback address and a port, as 127.0.0.1:8080: others can be reached from the network")
		}
	}
	if o.metrics != "" && loopback.Check(o.metrics) != nil {
		return usageError("--metrics takes a loopback address and a port, as 127.0.0.1:9090")
	}
	if _, err := o.addresses(o.upstreams); err != nil {
		return err
	}
	if strings.HasPrefix(o.accessLog, "fd:") || o.accessLog == "-" {
		return usageError("--access-log takes the name of a file: put ./ before one that is called so")
	}
	for _, name := range []string{"access-log", "metrics"} {
		if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
			return usageError("--" + name + " has an empty value (is a variable not set?)")
		}
	}
	return nil
}

// config is what the flags say.
func (o *brokerOptions) config() broker.Config {
	return broker.Config{
		Routes:         o.upstreams,
		RequirePhantom: o.required,
		PassForeign:    o.foreign.value == "pass",
		CloseOnRotate:  o.streams.value == "close",
		ScrubBodies:    o.scrub,
	}
}

// held is a broker, with what is beside it.
type held struct {
	*broker.Broker
	listeners []*broker.Listener
	log       *os.File     // nil without --access-log
	queue     *eventLog    // of lines for that; nil where it is a regular file
	metrics   *http.Server // nil without --metrics
	counters  string       // its URL
}

// open makes a broker, and has it listen.
func (o *brokerOptions) open(c broker.Config) (*held, error) {
	h := new(held)
	if err := h.open(o, c); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *held) open(o *brokerOptions, c broker.Config) (err error) {
	if o.accessLog != "" {
		if h.log, err = openLines(o.accessLog); err != nil {
			return fmt.Errorf("--access-log: %w", err)
		}
		info, err := h.log.Stat()
		if err != nil {
			return fmt.Errorf("--access-log: %w", readfile.WithoutPath(err))
		}
		to := io.Writer(&lossy{Writer: h.log, log: c.Log})
		if !info.Mode().IsRegular() { // whoever takes the lines may stop
			h.queue = newEventLog(to)
			to = h.queue
		}
		c.Observe = broker.AccessLog(to)
	}
	addresses, err := o.addresses(c.Routes)
	if err != nil {
		return err
	}
	if h.Broker, err = broker.New(c); err != nil {
		return ofBroker(err)
	}
	for _, address := range addresses {
		if path, ok := strings.CutPrefix(address, "unix:"); ok {
			uid, err := ownerOf(filepath.Dir(path))
			if err == nil && uid != os.Geteuid() && uid != o.owner { // which the kernel lets root do
				return errors.New("--listen: the socket's directory is another user's, who could put another socket in its place")
			}
		}
		l, err := h.Listen(address)
		if err != nil {
			return ofBroker(err)
		}
		h.listeners = append(h.listeners, l)
	}
	if o.metrics != "" {
		if err = h.serveMetrics(o.metrics); err != nil {
			return fmt.Errorf("--metrics: %w", err)
		}
	}
	return nil
}

// lossy has it logged that lines are lost, once until they are not.
type lossy struct {
	io.Writer
	log  *slog.Logger
	lost bool
}

// Write writes a line; [io.Writer].
func (l *lossy) Write(line []byte) (int, error) {
	n, err := l.Writer.Write(line)
	if err != nil && !l.lost && l.log != nil {
		l.log.Warn("lines of the access log are lost", "err", readfile.WithoutPath(err))
	}
	l.lost = err != nil
	return n, err
}

// addresses returns those to listen on, and has these routes name them in the same way.
func (o *brokerOptions) addresses(routes []broker.Route) (list []string, err error) {
	for _, address := range o.listen {
		if address, err = absolute(address); err != nil {
			return nil, err
		}
		list = append(list, address)
	}
	if len(list) == 0 {
		list = []string{defaultListen}
	}
	for i := range routes {
		r := &routes[i]
		if r.Listener, err = absolute(r.Listener); err != nil {
			return nil, err
		}
		if r.Listener != "" && !slices.Contains(list, r.Listener) {
			return nil, usageError("--upstream names a listener that no --listen has: write both in the same way, and begin a path with a slash")
		}
	}
	return list, nil
}

// absolute returns an address, with an absolute path if it is a socket's.
func absolute(address string) (string, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok || path == "" || filepath.IsAbs(path) {
		return address, nil
	}
	path, err := filepath.Abs(path)
	return "unix:" + path, err
}

// metricsTime bounds how long a request for counters may take.
const metricsTime = 10 * time.Second

// serveMetrics answers at /metrics of an address.
func (h *held) serveMetrics(address string) error {
	l, err := loopback.Listen(address)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	counters := h.Metrics()
	// A ServeMux would add to the command's size.
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !loopback.Names(r.Host, port): // a page's, which is not to read who asks whom
			http.Error(w, "Host is not this port of this machine", http.StatusMisdirectedRequest)
		case r.URL.Path != "/metrics":
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "counters are read with GET", http.StatusMethodNotAllowed)
		default:
			counters.ServeHTTP(w, r)
		}
	}
	h.metrics = &http.Server{Handler: http.HandlerFunc(handler), ReadTimeout: metricsTime, WriteTimeout: metricsTime, IdleTimeout: metricsTime}
	h.counters = "http://" + l.Addr().String() + "/metrics"
	go h.metrics.Serve(l)
	return nil
}

// url is the base URL for clients: that of the first listener.
func (h *held) url() string { return h.listeners[0].URL() }

func (h *held) close() {
	if h == nil {
		return
	}
	if h.metrics != nil {
		h.metrics.Close()
	}
	if h.Broker != nil {
		h.Broker.Close()
	}
	h.queue.close()
	if h.log != nil {
		h.log.Close()
	}
}

// ofBroker is an error of package broker, for the command.
func ofBroker(err error) error {
	return hinted{errors.New(strings.TrimPrefix(err.Error(), "broker: ")), ""}
}

// upstreamsFlag are the values of --upstream, each with the rules after it.
type upstreamsFlag []broker.Route

func (u *upstreamsFlag) String() string { return "" }
func (u *upstreamsFlag) Type() string   { return "origin" }
func (u *upstreamsFlag) takes() string {
	return "an origin, as https://service.example:8443, or what requests go there and the origin, as /name/=https://service.example or 127.0.0.1:8080=https://service.example (is a variable not set?)"
}

func (u *upstreamsFlag) Set(s string) error {
	var r broker.Route
	where, origin, ok := strings.Cut(s, "=")
	switch {
	case !ok || strings.Contains(where, "://"):
		r.Upstream = s
	case where == "":
		return errors.New("nothing before =") // by a variable that is not set
	case strings.HasPrefix(where, "/"):
		r.Prefix, r.Upstream = where, origin
	default:
		r.Listener, r.Upstream = where, origin
	}
	*u = append(*u, r)
	return nil
}

// allowFlag are the values of --allow.
type allowFlag struct{ of *upstreamsFlag }

func (a *allowFlag) String() string { return "" }
func (a *allowFlag) Type() string   { return "rule" }
func (a *allowFlag) takes() string {
	return "methods and a path, as 'GET,HEAD /v1/', after the --upstream that it is for"
}

func (a *allowFlag) Set(s string) error {
	n := len(*a.of)
	if n == 0 {
		return errors.New("no upstream")
	}
	last := &(*a.of)[n-1]
	last.Allow = append(last.Allow, s)
	return nil
}
