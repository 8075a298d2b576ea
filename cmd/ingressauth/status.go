package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/webclient"
	"github.com/spf13/cobra"
)

func newStatus() *cobra.Command {
	var format *oneOf
	cmd := command("status", "Say where a token is found, and why there", `Say what each source has, which one wins, why, and what may surprise. It shows
no token, and has no effect: a pipe that nobody has read stays unread. Below a run that
gets the token from a command or an endpoint, it says how that goes; and below one that
holds it (--deliver broker), whether its broker answers, and where the token could be read
all the same.

It exits with 0 whether or not there is a token.`,
		func(cmd *cobra.Command, r *ingressauth.Resolver) error {
			out := cmd.OutOrStdout()
			report := report{Report: r.Explain(cmd.Context())}
			var err error
			if report.Run, err = readRunStatus(); err == nil && report.Run != nil && report.Run.Broker != "" {
				report.Run.Answers = askBroker(cmd.Context(), report.Run.Broker, report.phantom(cmd.Context(), r))
			}
			if err != nil {
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
	if s.Phantom {
		facts = append(facts, "a phantom, for which a broker puts the token on requests")
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

// phantom returns the one that this process has. What can be read once alone, nobody has looked into.
func (r *report) phantom(ctx context.Context, resolver *ingressauth.Resolver) ingressauth.Token {
	for _, s := range r.Sources {
		if s.Wins && s.Phantom {
			if t, err := resolver.Token(ctx); err == nil && phantom.Is(t.Reveal()) { // and no other since
				return t
			}
		}
	}
	return ingressauth.Token{}
}

// askTime bounds how long a broker, which is on this machine, may take to answer.
const askTime = 5 * time.Second

// askBroker says whether the broker at a URL answers, and takes this phantom.
func askBroker(ctx context.Context, base string, phantom ingressauth.Token) string {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	host := strings.TrimPrefix(base, "http://")
	if path, ok := strings.CutPrefix(base, "unix:"); ok {
		host = "localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	request := (&http.Request{Method: http.MethodOptions, URL: &url.URL{Scheme: "http", Host: host, Opaque: "*"}, Header: http.Header{}}).WithContext(ctx)
	if !phantom.IsZero() {
		phantom.SetHeader(request.Header)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "does not answer: " + webclient.WithoutHost(err).Error()
	}
	response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNoContent && phantom.IsZero():
		return "answers"
	case response.StatusCode == http.StatusNoContent:
		return "answers, and takes the phantom"
	case response.StatusCode == http.StatusUnauthorized && phantom.IsZero():
		return "answers, and wants a phantom"
	case response.StatusCode == http.StatusUnauthorized:
		return "answers, and does not take the phantom"
	}
	return "does not let this process use it"
}
