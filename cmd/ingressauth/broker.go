package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/broker"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/refresh"
	"github.com/spf13/cobra"
)

// collectAt is how far the heap of a broker grows before it is collected, in percent of what is
// in use. That is little, and a collection costs as much as many requests.
const collectAt = 800

func newBroker() *cobra.Command {
	var source sourceOptions
	var options brokerOptions
	var life lifeFlag
	cmd := &cobra.Command{
		Use:                   "broker --upstream [WHERE=]ORIGIN [flags]",
		DisableFlagsInUseLine: true,
		Short:                 "Hold the token, and put it on requests that come with a phantom",
		Long: `Listen on this machine, and send requests on to the --upstream with this session's token
in place of the phantom that they carry: a random text that is worth something to this
broker alone. Programs that have the phantom, by the same ways as a token, and the
broker's URL as their base URL, work unchanged, and have nothing to lose.

When it listens, it prints a line of JSON: "url", "listeners", "metrics", "expires", and
"phantom", which every request must carry. Whoever has that may use the broker, on any of its
listeners.
'ingressauth run --deliver broker' starts a command with a broker of its own, which knows
the command's processes, and ends with it.

The token comes --from where 'ingressauth run' gets it. It runs until SIGINT, SIGTERM,
SIGHUP or SIGQUIT.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(source.check(cmd), options.check(cmd)); err != nil {
				return err
			}
			return serve(cmd, &source, &options, time.Duration(life))
		},
	}
	source.from.apart = true
	source.register(cmd)
	options.register(cmd)
	cmd.Flags().Var(&life, "expires-in", "how long the phantom is good for, a `duration` such as 8h; until the end if it is left out")
	return cmd
}

// lifeFlag is the value of --expires-in.
type lifeFlag time.Duration

func (l *lifeFlag) String() string { return "" }
func (l *lifeFlag) Type() string   { return "duration" }
func (l *lifeFlag) takes() string  { return "a duration, as 90s, 15m or 8h" }

func (l *lifeFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("no duration")
	}
	*l = lifeFlag(d)
	return nil
}

// greeting is what broker prints when it listens.
type greeting struct {
	URL       string    `json:"url"`
	Listeners []string  `json:"listeners"`
	Phantom   string    `json:"phantom"`
	Metrics   string    `json:"metrics,omitempty"`
	Expires   time.Time `json:"expires,omitzero"`
}

// serve is the command broker.
func serve(cmd *cobra.Command, o *sourceOptions, options *brokerOptions, life time.Duration) error {
	if err := hide(); err != nil {
		return err
	}
	prepareToServe()
	signals := make(chan os.Signal, 1)
	listenForEnd(signals)
	signal.Notify(signals, os.Interrupt) // also where no signals are passed on
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	log := slog.New(reported{func(message string) { warn(cmd.ErrOrStderr(), message) }})
	source, end, err := o.open(cmd, log)
	if err != nil {
		return err
	}
	defer end()
	token, err := source.Token(ctx)
	if err == nil && phantom.Is(token.Reveal()) {
		err = errPhantom
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil // it was told to end
		}
		return err
	}
	c := options.config()
	c.Source, c.Log = source, log
	h, err := options.open(c)
	if err != nil {
		return err
	}
	defer h.close()
	child := broker.ChildConfig{Scheme: token.Scheme()}
	if life > 0 {
		child.Expires = time.Now().Add(life)
	}
	added, err := h.Add(child)
	if err != nil {
		return err
	}
	g := greeting{URL: h.url(), Phantom: added.Phantom().Reveal(), Metrics: h.counters, Expires: child.Expires.UTC()}
	for _, l := range h.listeners {
		g.Listeners = append(g.Listeners, l.URL())
	}
	line, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), string(line)+"\n"); err != nil {
		return nil // which is said where standard output is written
	}
	if life > 0 {
		defer time.AfterFunc(life, func() { log.Warn("the phantom has expired: no request gets the token any more") }).Stop()
	}
	<-ctx.Done()
	return nil
}

// prepareToServe makes this process one that has a broker.
func prepareToServe() {
	debug.SetGCPercent(collectAt)
	stdlog.SetOutput(io.Discard) // net/http says there what an upstream has sent
}

// open returns what has the token, and a function that ends it.
func (o *sourceOptions) open(cmd *cobra.Command, log *slog.Logger) (ingressauth.Renewer, func(), error) {
	if err := o.loadSource(); err != nil {
		return nil, nil, err
	}
	resolver, err := o.resolver(cmd)
	if err != nil {
		return nil, nil, err
	}
	resolver.Log = log
	os.Unsetenv(resolver.Profile.WithDefaults().RemoteVariable) // nothing is written for others
	if !o.from.renews() {
		return resolver, func() {}, nil
	}
	source, err := o.newSource(resolver, func(c *exec.Cmd) error {
		if err := startIsolated(c); err != nil {
			return err
		}
		return c.Wait()
	})
	if err != nil {
		return nil, nil, ofSource(err)
	}
	refresher, err := refresh.New(refresh.Config{Source: source, Interval: time.Duration(o.refresh), Log: log})
	if err != nil {
		return nil, nil, ofSource(err)
	}
	return refresher, func() {
		if err := refresher.Close(); err != nil {
			log.Warn(err.Error())
		}
	}, nil
}

// errPhantom says that there is no token where a broker is to hold one.
var errPhantom = fmt.Errorf("%w: %w", ingressauth.ErrNoToken, phantom.ErrFound)
