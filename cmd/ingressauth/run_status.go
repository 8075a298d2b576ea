package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/internal/tokendir"
	"github.com/ingressauth/ingressauth/internal/tokentext"
	"github.com/ingressauth/ingressauth/refresh"
)

// runStatusVariable is the variable by which processes below a run find the file that says how
// the renewing of their token goes.
const runStatusVariable = "INGRESSAUTH_RUN_STATUS"

// runStatus is what is in that file. There is no token in it.
type runStatus struct {
	// Source is "command" or "endpoint", or "" where the run does not renew the token. Then
	// there is nothing of what follows.
	Source     string `json:"source,omitempty"`
	Generation int    `json:"generation,omitempty"`
	Token      string `json:"token,omitempty"`
	// Received, Expires and Next are of the token, and of the next attempt to get one.
	Received time.Time `json:"received,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Next     time.Time `json:"next,omitzero"`
	// Failures is how many attempts have failed since, and Error why the last one did.
	Failures int    `json:"failures,omitempty"`
	Error    string `json:"error,omitempty"`

	// Broker is the URL of the broker that holds the token, or "" where there is none, and
	// Findings where the command could read the token all the same.
	Broker   string   `json:"broker,omitempty"`
	Findings []string `json:"findings,omitempty"`
	// Answers says how the broker answered. It is not in the file.
	Answers string `json:"answers,omitempty"`
}

// maxRunStatus bounds the file, in bytes.
const maxRunStatus = 64 << 10

// statusFile is that file, on the side of who writes it.
type statusFile struct {
	dir *tokendir.Dir
	run *supervisor
}

func newStatusFile(s *supervisor) (*statusFile, error) {
	open := tokendir.New
	if a := s.options.account; a != nil {
		open = func() (*tokendir.Dir, error) { return tokendir.NewFor(a.uid, a.gid) }
	}
	dir, err := open()
	if err != nil {
		return nil, fmt.Errorf("status for processes below: %w", err)
	}
	return &statusFile{dir, s}, nil
}

// write says what is known. A nil statusFile says nothing.
func (f *statusFile) write(generation int, s refresh.State) error {
	if f == nil {
		return nil
	}
	var status runStatus
	if f.run.renewed != nil {
		status = runStatus{
			Source: f.run.options.from.kind, Generation: generation, Token: s.Token.String(),
			Received: s.Received.UTC(), Expires: s.Expires.UTC(), Next: s.Next.UTC(), Failures: s.Failures,
		}
	}
	if s.Err != nil {
		status.Error = s.Err.Error()
	}
	if f.run.held != nil {
		status.Broker, status.Findings = f.run.held.url(), f.run.findings
	}
	text, err := json.Marshal(status)
	if err != nil {
		return err
	}
	if err := f.dir.WriteStatus(string(text)); err != nil {
		return fmt.Errorf("status for processes below: directory %s: %w", filepath.Dir(f.dir.StatusPath()), err)
	}
	return nil
}

// environ returns these variables, and the one by which the file is found.
func (f *statusFile) environ(variables []string) []string {
	return append(without(variables, runStatusVariable), runStatusVariable+"="+f.dir.StatusPath())
}

func (f *statusFile) remove() error {
	if f == nil {
		return nil
	}
	return f.dir.Remove()
}

// readRunStatus returns what the run says that this process is below, or nil if there is none
// that says something.
func readRunStatus() (*runStatus, error) {
	path := os.Getenv(runStatusVariable)
	if path == "" {
		return nil, nil
	}
	text, _, err := readfile.Regular(path, maxRunStatus+1, nil)
	if err != nil && !errors.Is(err, readfile.ErrChanging) {
		return nil, err
	}
	var s runStatus
	if len(text) > maxRunStatus || json.Unmarshal(text, &s) != nil || !s.isOne() {
		return nil, errors.New("it is no status of a run")
	}
	s.Error = tokentext.Mask(s.Error)
	return &s, nil
}

// isOne reports whether it can be what a run has written.
func (s *runStatus) isOne() bool {
	if s.Source == "" {
		return s.Broker != ""
	}
	scheme, fingerprint, _ := strings.Cut(s.Token, ":")
	_, err := hex.DecodeString(fingerprint)
	if s.Failures < 0 || (s.Failures == 0) != (s.Error == "") {
		return false
	}
	return (s.Source == fromCommand || s.Source == fromEndpoint) && s.Generation > 0 && !s.Received.IsZero() &&
		(scheme == string(ingressauth.SchemeBearer) || scheme == string(ingressauth.SchemeSessionKey)) && err == nil && len(fingerprint) == 8
}

// lines are what the status says, for people.
func (s *runStatus) lines(now time.Time, p palette) string {
	return s.renewalLines(now, p) + s.brokerLines(p)
}

// brokerLines are what it says of a broker.
func (s *runStatus) brokerLines(p palette) string {
	if s.Broker == "" {
		return ""
	}
	text := fmt.Sprintf("%s %s %s\n", p.paint(green, "broker:"), printable(s.Broker), s.Answers)
	for _, f := range s.Findings {
		text += fmt.Sprintf("%s %s\n", p.paint(yellow, "exposed:"), printable(f))
	}
	return text
}

// renewalLines are what it says of the renewing.
func (s *runStatus) renewalLines(now time.Time, p palette) string {
	if s.Source == "" {
		return ""
	}
	text := fmt.Sprintf("token %d of the %s, %s, received %s", s.Generation, s.Source, s.Token, spelled(s.Received, now))
	switch {
	case s.Expires.IsZero():
	case s.Expires.After(now):
		text += ", expires " + spelled(s.Expires, now)
	default:
		text += ", expired " + spelled(s.Expires, now)
	}
	if !s.Next.IsZero() {
		text += "; the next attempt " + spelled(s.Next, now)
	}
	text = fmt.Sprintf("%s %s\n", p.paint(green, "run:"), text)
	if s.Error != "" {
		text += fmt.Sprintf("%s renewing has failed %s: %s\n", p.paint(yellow, "run:"), times(s.Failures), printable(s.Error))
	}
	return text
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
