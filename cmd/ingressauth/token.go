package main

import (
	"github.com/ingressauth/ingressauth"
	"github.com/spf13/cobra"
)

func newToken() *cobra.Command {
	return command("token", "Print the token", `Print this session's token and a newline on standard output, and nothing else.

It looks at the token variable, then at the inherited descriptor, then at the
token file. A descriptor that is a pipe or a socket is consumed: whoever looks
next finds it empty, and then finds the token in the file, if this is a remote
session, in which it is written there. 'ingressauth status' consumes nothing.`,
		func(cmd *cobra.Command, r *ingressauth.Resolver) error {
			t, err := r.Token(cmd.Context())
			if err != nil {
				return err
			}
			return answer(cmd.OutOrStdout(), t.Reveal()+"\n")
		})
}
