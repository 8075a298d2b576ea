package main

import (
	"bufio"
	"encoding/json"

	"github.com/ingressauth/ingressauth"
	"github.com/spf13/cobra"
)

const (
	demoChild  = "demo-child"
	updateType = "update_environment_variables"
)

// updateMessage is the line by which a parent replaces variables of a running
// child.
type updateMessage struct {
	Type      string            `json:"type"`
	Variables map[string]string `json:"variables"`
}

// newDemoChild returns the command that demo starts. It reads lines: an update,
// which it applies, or anything else, upon which it says in a line what it finds.
func newDemoChild() *cobra.Command {
	cmd := command(demoChild, "Look for a token when asked to", "", func(cmd *cobra.Command, r *ingressauth.Resolver) error {
		out := json.NewEncoder(cmd.OutOrStdout())
		lines := bufio.NewScanner(cmd.InOrStdin())
		for lines.Scan() {
			var m updateMessage
			if json.Unmarshal(lines.Bytes(), &m) == nil && m.Type == updateType {
				if err := r.Update(m.Variables[r.Profile.WithDefaults().TokenVariable]); err != nil {
					return err
				}
				continue
			}
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
