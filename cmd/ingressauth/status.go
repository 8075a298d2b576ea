package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/spf13/cobra"
)

func newStatus() *cobra.Command {
	var format *oneOf
	cmd := command("status", "Say where a token is found, and why there", `Say what each source has, which one wins, why, and what may surprise. It shows
no token, and has no effect: a pipe that nobody has read stays unread. Below a run that
gets the token from a command or an endpoint, it says how that goes.

It exits with 0 whether or not there is a token.`,
		func(cmd *cobra.Command, r *ingressauth.Resolver) error {
			out := cmd.OutOrStdout()
			report := report{Report: r.Explain(cmd.Context())}
			var err error
			if report.Run, err = readRunStatus(); err != nil {
				report.Warnings = append(report.Warnings, fmt.Sprintf("variable %s: the status of the run above cannot be read: %v", runStatusVariable, err))
			}
			if format.value == "text" {
				fmt.Fprint(out, statusText(report, time.Now(), paletteFor(out)))
				return nil
			}
			text, err := marshal(report)
			if err != nil {
				return err
			}
			fmt.Fprint(out, text)
			return nil
		})
	format = addOutput(cmd, "text", "json")
	return cmd
}

// report is what status says.
type report struct {
	ingressauth.Report
	Run *runStatus `json:"run,omitempty"` // of the run above that renews the token, if there is one
}

func statusText(r report, now time.Time, p palette) string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range r.Sources {
		mark := " "
		if s.Wins {
			mark = "*"
		}
		fmt.Fprintf(table, "%s %s\t%s\t%s\n", mark, s.Source, printable(s.Name), strings.Join(facts(s, now), ", "))
	}
	table.Flush()
	switch {
	case r.Undetermined:
		fmt.Fprintf(&b, "\n%s %s\n", p.paint(yellow, "undetermined:"), r.Why)
	case r.Winner == "":
		fmt.Fprintf(&b, "\n%s %s\n", p.paint(yellow, "no token:"), r.Why)
	default:
		fmt.Fprintf(&b, "\n%s %s: %s\n", p.paint(green, "winner:"), r.Winner, r.Why)
	}
	if r.Run != nil {
		b.WriteString(r.Run.lines(now, p))
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "%s %s\n", p.paint(yellow, "warning:"), w)
	}
	return b.String()
}

// facts are what is to be said of a source.
func facts(s ingressauth.SourceReport, now time.Time) []string {
	var facts []string
	if s.Found {
		facts = append(facts, string(s.Scheme)+":"+s.Fingerprint)
	}
	switch {
	case s.Expiry.IsZero():
	case s.Expiry.After(now):
		facts = append(facts, "expires "+spelled(s.Expiry, now))
	default:
		facts = append(facts, "expired "+spelled(s.Expiry, now))
	}
	if s.Note != "" && s.Note != "expired" {
		facts = append(facts, s.Note)
	}
	if s.Unread && s.Waiting > 0 {
		facts = append(facts, fmt.Sprintf("%d bytes waiting", s.Waiting))
	}
	if s.Mode != "" {
		facts = append(facts, "mode "+s.Mode)
	}
	if s.Owner != "" {
		facts = append(facts, "owner "+s.Owner)
	}
	if !s.LookedAt {
		facts = append(facts, "not needed")
	}
	return facts
}
