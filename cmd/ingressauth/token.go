package main

import (
	"fmt"

	"github.com/ingressauth/ingressauth"
	"github.com/spf13/cobra"
)

func newToken() *cobra.Command {
	p := ingressauth.Profile{}.WithDefaults()
	long := fmt.Sprintf(`Print this session's token and a newline on standard output, and nothing else.

It is looked for in this order:

  the variable    %s
  the descriptor  whose number is in
                  %s
  the file        whose path is in
                  %s, else
                  %s

A descriptor that is a pipe or a socket is consumed: whoever looks next finds it
empty, and finds the token in the file if it was written there, which is done in
a remote session (%s) unless the file variable is set.
'ingressauth status' consumes nothing.`,
		p.TokenVariable, p.DescriptorVariable, p.FileVariable, p.File, p.RemoteVariable)
	return command("token", "Print the token", long, func(cmd *cobra.Command, r *ingressauth.Resolver) error {
		t, err := r.Token(cmd.Context())
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), t.Reveal())
		return nil
	})
}
