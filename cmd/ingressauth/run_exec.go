package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/ingressauth/ingressauth"
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
		t, err = o.once(cmd.Context(), r)
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

// once gets a token from where run gets it itself, and nobody will renew it. A signal that is to
// end the command ends what gets it.
func (o *runOptions) once(ctx context.Context, resolver *ingressauth.Resolver) (ingressauth.Token, error) {
	source, err := o.newSource(resolver, new(helpers).run)
	if err != nil {
		return ingressauth.Token{}, err
	}
	signals := make(chan os.Signal, 1)
	for _, s := range passedOn {
		if endsJobs(s) && !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case got := <-signals:
			cancel(ended(got))
		case <-ctx.Done():
		}
	}()
	t, err := source.Token(ctx)
	if expiry, ok := t.Expiry(); err == nil && ok && !expiry.After(time.Now()) {
		err = fmt.Errorf("the source returned a token that expired at %s", expiry.Format(time.RFC3339))
	}
	if status, ended := errors.AsType[exitStatus](context.Cause(ctx)); ended {
		return ingressauth.Token{}, status
	}
	if err != nil {
		return ingressauth.Token{}, ofSource(err)
	}
	return t, nil
}
