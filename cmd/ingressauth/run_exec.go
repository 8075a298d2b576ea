package main

import (
	"os"

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
	var source ingressauth.Source = r
	if o.from.renews() {
		if source, err = o.newSource(r, nil); err != nil {
			return &runError{exitRun, err}
		}
	}
	t, err := source.Token(cmd.Context())
	if err != nil {
		return &runError{exitRun, err}
	}
	command := newCommand(args)
	command.Env = environ
	child := launch.Cmd{Command: command, Token: t, Deliver: o.deliver, Profile: r.Profile, Scrub: o.scrub}
	return startError(args[0], child.Exec())
}
