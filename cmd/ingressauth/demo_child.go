package main

import (
	"bufio"
	"encoding/json"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
	"github.com/spf13/cobra"
)

const demoChild = "demo-child"

// newDemoChild returns the command that demo starts. For each line of its standard
// input, messages aside, it says in a line what it finds.
func newDemoChild() *cobra.Command {
	cmd := command(demoChild, "Look for a token when asked to", "", func(cmd *cobra.Command, r *ingressauth.Resolver) error {
		out := json.NewEncoder(cmd.OutOrStdout())
		lines := bufio.NewScanner(&control.Reader{In: cmd.InOrStdin(), Resolver: r})
		for lines.Scan() {
			var s sight
			t, err := r.Token(cmd.Context())
			if err != nil {
				s.Error = err.Error()
			}
			report := r.Explain(cmd.Context())
			s.Fingerprint, s.Where, s.Why = t.Fingerprint(), report.Winner, report.Why
			if err := out.Encode(s); err != nil {
				return err
			}
		}
		return lines.Err()
	})
	cmd.Hidden = true
	return cmd
}
