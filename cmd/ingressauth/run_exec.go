package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/launch"
	"github.com/spf13/cobra"
)

// replace replaces this process by the command.
func (o *runOptions) replace(cmd *cobra.Command, args []string) error {
	environ := os.Environ()
	if err := o.loadSource(); err != nil {
		return &runError{exitRun, err}
	}
	r, err := o.resolver(cmd)
	if err != nil {
		return &runError{exitRun, err}
	}
	var t ingressauth.Token
	if o.from.renews() {
		t, err = o.getOnce(cmd.Context(), r)
	} else {
		t, err = r.Token(cmd.Context())
	}
	if _, ended := errors.AsType[exitStatus](err); ended {
		return err
	}
	if err != nil {
		return &runError{exitRun, err}
	}
	command := newCommand(args)
	command.Env = environ
	child := launch.Cmd{Command: command, Token: t, Deliver: o.deliver, Profile: r.Profile, Scrub: o.scrub}
	return startError(args[0], child.Exec())
}

// getOnce gets a token from where run gets it itself, and nobody will renew it. A signal that is to
// end the command ends what gets it.
func (o *runOptions) getOnce(ctx context.Context, resolver *ingressauth.Resolver) (ingressauth.Token, error) {
	source, err := o.newSource(resolver, func(cmd *exec.Cmd) error {
		if err := startIsolated(cmd); err != nil {
			return err
		}
		return cmd.Wait() // other children are the command's, which may wait for them
	})
	if err != nil {
		return ingressauth.Token{}, err
	}
	signals := make(chan os.Signal, 1)
	listenForEnd(signals)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	got, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-signals:
			cancel(endedBy(s))
		case <-got:
		}
	}()
	t, err := source.Token(ctx)
	close(got)
	<-done
	if expiry, ok := t.Expiry(); err == nil && ok && !expiry.After(time.Now()) {
		err = fmt.Errorf("the source returned a token that expired at %s", expiry.Format(time.RFC3339))
	}
	if err == nil && phantom.Is(t.Reveal()) {
		err = phantom.ErrFound
	}
	signal.Stop(signals)
	select {
	case got := <-signals: // it came just now
		cancel(endedBy(got))
	default:
	}
	if status, ok := errors.AsType[exitStatus](context.Cause(ctx)); ok {
		return ingressauth.Token{}, status
	}
	if err != nil {
		return ingressauth.Token{}, ofSource(err)
	}
	return t, nil
}
