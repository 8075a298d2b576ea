package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/broker"
	"github.com/ingressauth/ingressauth/internal/exposure"
	"github.com/ingressauth/ingressauth/internal/tokentext"
	"github.com/ingressauth/ingressauth/launch"
)

// deliverBroker is a word of --deliver: the command gets a phantom, by the other ways.
const deliverBroker launch.Delivery = "broker"

// brokerVariable has the broker's URL, for 'ingressauth status' and whoever else is below.
const brokerVariable = "INGRESSAUTH_BROKER"

// urlWord stands in the command's arguments for the broker's URL.
const urlWord = "{url}"

// checkBroker refuses what does not go together with a broker, or without one.
func (o *runOptions) checkBroker(changed func(flag string) bool, flags []string) error {
	o.brokered = slices.Contains(o.deliver, deliverBroker)
	if !o.brokered {
		for _, f := range flags {
			if changed(f) {
				return usageError("--" + f + " is for --deliver " + string(deliverBroker))
			}
		}
		return nil
	}
	o.deliver = slices.DeleteFunc(o.deliver, func(d launch.Delivery) bool { return d == deliverBroker })
	if len(o.deliver) == 0 {
		o.deliver = deliveries{launch.Environment}
	}
	switch {
	case o.exec:
		return usageError("--exec leaves nobody who could hold the token: leave out one of them")
	case o.onRotate.text != "none":
		return usageError("--on-rotate is for a command that has the token: with --deliver " + string(deliverBroker) + " it never notices a rotation")
	case changed("user") && o.user == "":
		return usageError("--user needs a name or a number, and has an empty one (is a variable not set?)")
	}
	for _, name := range o.urlEnv {
		if !tokentext.IsVariable(name) {
			return usageError("--url-env takes the name of a variable: letters, digits and _, and no digit first")
		}
	}
	return nil
}

// hold begins to hold the token for the command: it takes it from what the command will
// inherit, says where else the command could find it, and listens.
func (s *supervisor) hold(t ingressauth.Token) error {
	if err := hide(); err != nil {
		return err
	}
	debug.SetGCPercent(collectAt)
	s.keepDescriptors(t)
	s.environ = s.withhold(s.environ, t)
	if err := s.expose(t); err != nil {
		return err
	}
	c := s.options.broker.config()
	c.Source, c.Log = s.source(), s.events.logger()
	var err error
	if s.held, err = s.options.broker.open(c); err != nil {
		return err
	}
	if err := s.letIn(); err != nil {
		return err
	}
	for _, name := range append([]string{brokerVariable}, s.options.urlEnv...) {
		s.environ = append(without(s.environ, name), name+"="+s.held.url())
	}
	for i, argument := range s.command[1:] {
		s.command[1+i] = strings.ReplaceAll(argument, urlWord, s.held.url())
	}
	return nil
}

// source is where the broker gets the token.
func (s *supervisor) source() ingressauth.Renewer {
	if s.renewed != nil {
		return s.renewed
	}
	return s.resolver
}

// letIn has another user, as whom the command is run, connect to the sockets.
func (s *supervisor) letIn() error {
	if s.options.account == nil {
		return nil
	}
	for _, l := range s.held.listeners {
		if path, ok := strings.CutPrefix(l.URL(), "unix:"); ok {
			if err := os.Lchown(path, s.options.account.uid, s.options.account.gid); err != nil {
				return err
			}
		}
	}
	return nil
}

// withhold returns these variables without the token: without those that lead to it, and
// without whatever else holds it, of which an event says that.
func (s *supervisor) withhold(environ []string, t ingressauth.Token) (kept []string) {
	p := s.resolver.Profile.WithDefaults()
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case name == p.TokenVariable, name == p.DescriptorVariable, name == p.FileVariable:
		case strings.Contains(value, t.Reveal()):
			s.events.failure(fmt.Errorf("variable %s held the token, and is kept from the command", name))
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}

// without returns these variables but one.
func without(environ []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
}

// expose looks for the token where the command's user could read it.
func (s *supervisor) expose(t ingressauth.Token) error {
	p := s.resolver.Profile.WithDefaults()
	o := exposure.Options{Texts: []string{t.Reveal()}, UID: os.Geteuid(), Confined: s.options.confine, Files: []string{p.File}}
	o.Groups, _ = os.Getgroups()
	o.Groups = append(o.Groups, os.Getegid())
	if a := s.options.account; a != nil {
		o.UID, o.Groups = a.uid, a.groups
	}
	if path := os.Getenv(p.FileVariable); path != "" {
		o.Files = append(o.Files, path)
	}
	s.findings = nil
	for _, f := range exposure.Find(o) {
		s.findings = append(s.findings, f.String())
		s.events.add(event{Event: eventExposure, Finding: f.String()})
	}
	if s.options.isolated && len(s.findings) > 0 {
		return errors.New("--require-isolated: the command could read the token: " + strings.Join(s.findings, "; "))
	}
	return nil
}

// phantom returns what the command has in place of the token, a new one for each command.
func (s *supervisor) phantom() (ingressauth.Token, error) {
	child, err := s.held.Add(broker.ChildConfig{Name: "command", Scheme: s.token.Scheme(), Supervisor: os.Getpid()})
	if err != nil {
		return ingressauth.Token{}, err
	}
	s.child = child
	return child.Phantom(), nil
}

// keepDescriptors has the command inherit no descriptor that leads to the token.
func (s *supervisor) keepDescriptors(t ingressauth.Token) {
	if n, err := strconv.Atoi(os.Getenv(s.resolver.Profile.WithDefaults().DescriptorVariable)); err == nil && n > 2 {
		keepFromChildren(n)
	}
	for _, n := range keepHolding(t.Reveal()) {
		s.events.failure(fmt.Errorf("descriptor %d is a file that held the token, and is kept from the command", n))
	}
}
