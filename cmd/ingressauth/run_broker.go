package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	patterns "path"
	"slices"
	"strings"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/broker"
	"github.com/ingressauth/ingressauth/internal/access"
	"github.com/ingressauth/ingressauth/internal/exposure"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/readfile"
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
	prepareToServe()
	p := s.resolver.Profile.WithDefaults()
	for _, name := range s.options.urlEnv {
		if slices.Contains([]string{p.TokenVariable, p.DescriptorVariable, p.FileVariable, p.RemoteVariable, p.OrganizationVariable}, name) {
			return errors.New("--url-env names a variable that has to do with tokens: name another")
		}
	}
	texts := []string{t.Reveal()}
	if own := strings.TrimSpace(s.variable(p.TokenVariable)); own != "" && own != texts[0] && !phantom.Is(own) {
		texts = append(texts, own)
	}
	for _, path := range s.tokenFiles(p) {
		b, _, _ := readfile.Regular(path, maxOtherFile, nil)
		if text := tokentext.TrimSpace(string(b)); text != "" && !phantom.Is(text) && !slices.Contains(texts, text) {
			texts = append(texts, text) // one that another source has come before
		}
	}
	s.findings = nil
	s.keepDescriptors(p, texts)
	if err := s.expose(p, texts); err != nil {
		return err
	}
	s.environ = s.withhold(p, texts)
	c := s.options.broker.config()
	c.Source, c.Log = s.source(), s.events.logger()
	err := s.checkSockets(c.Routes)
	if err != nil {
		return err
	}
	if a := s.options.account; a != nil {
		s.options.broker.owner = a.uid
	}
	if s.held, err = s.options.broker.open(c); err != nil {
		return err
	}
	if err := s.letIn(); err != nil {
		return err
	}
	for _, l := range s.held.listeners {
		s.events.add(event{Event: eventListen, URL: l.URL()})
	}
	if s.held.counters != "" {
		s.events.add(event{Event: eventListen, URL: s.held.counters})
	}
	for _, name := range append([]string{brokerVariable}, s.options.urlEnv...) {
		s.environ = append(without(s.environ, name), name+"="+s.held.url())
	}
	s.environ = withoutProxy(s.environ, s.held.url())
	for i, argument := range s.command[1:] {
		s.command[1+i] = strings.ReplaceAll(argument, urlWord, s.held.url())
	}
	return nil
}

// variable returns one that run was started with. In this process's own environment some are not
// as they were.
func (s *supervisor) variable(name string) string {
	for _, entry := range slices.Backward(s.inherited) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// scrub is what launch has to take from the command's variables. Of a command with a broker it was
// taken before there was what tells of that.
func (s *supervisor) scrub() []string {
	if s.held != nil {
		return nil
	}
	return s.options.scrub
}

// withoutProxy returns these variables with the broker's host among those that clients ask without a
// proxy, if they have one.
func withoutProxy(environ []string, base string) []string {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" { // a socket's
		return environ
	}
	proxied := slices.ContainsFunc(environ, func(entry string) bool {
		name, value, _ := strings.Cut(entry, "=")
		name = strings.ToLower(name)
		return value != "" && (name == "http_proxy" || name == "all_proxy")
	})
	if !proxied {
		return environ
	}
	lists := map[string]string{"NO_PROXY": "", "no_proxy": ""}
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); slices.Contains([]string{"NO_PROXY", "no_proxy"}, name) {
			lists[name] = value
		}
	}
	for name, list := range lists {
		// Who has just one of them has the other see the same.
		list = cmp.Or(list, lists["no_proxy"], lists["NO_PROXY"])
		if strings.TrimSpace(list) == "*" { // to most clients that is all hosts if it stands alone
			environ = append(without(environ, name), name+"="+list)
			continue
		}
		if list != "" {
			list += ","
		}
		environ = append(without(environ, name), name+"="+list+u.Hostname())
	}
	return environ
}

// source is where the broker gets the token.
func (s *supervisor) source() ingressauth.Renewer {
	if s.renewed != nil {
		return s.renewed
	}
	return s.resolver
}

// checkSockets refuses sockets that another user, as whom the command is run, could not get to. It
// is done before directories are made for them, which would be ours.
func (s *supervisor) checkSockets(routes []broker.Route) error {
	a := s.options.account
	if a == nil {
		return nil
	}
	addresses, err := s.options.broker.addresses(routes)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		if path, ok := strings.CutPrefix(address, "unix:"); ok && (access.User{UID: a.uid, Groups: a.groups}).Reach(path) != nil {
			return fmt.Errorf("--listen: user %d cannot get to the socket: make its directory, mode 0700, that user's", a.uid)
		}
	}
	return nil
}

// letIn has another user, as whom the command is run, connect to the sockets.
func (s *supervisor) letIn() error {
	a := s.options.account
	if a == nil {
		return nil
	}
	for _, l := range s.held.listeners {
		path, ok := strings.CutPrefix(l.URL(), "unix:")
		if !ok {
			continue
		}
		if err := giveSocket(path, a.uid, a.gid); err != nil {
			return fmt.Errorf("--listen: give the socket to user %d: %w", a.uid, err)
		}
	}
	return nil
}

// withhold returns the command's variables without the token: without those that lead to it, and
// without whatever else holds it, of which an event says that.
func (s *supervisor) withhold(p ingressauth.Profile, texts []string) (kept []string) {
	for _, entry := range s.environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case name == p.TokenVariable, name == p.DescriptorVariable, name == p.FileVariable:
		case holds(value, texts):
			s.events.failure(fmt.Errorf("variable %s held the token, and is kept from the command", tokentext.Shown(name)))
		case s.scrubs(name):
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}

// scrubs reports whether the command is not to inherit a variable.
func (s *supervisor) scrubs(name string) bool {
	return slices.ContainsFunc(s.options.scrub, func(pattern string) bool { match, _ := patterns.Match(pattern, name); return match })
}

// holds reports whether one of these is in s.
func holds(s string, texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(s, text) })
}

// without returns these variables but one.
func without(environ []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
}

// maxOtherFile bounds how much is read of a file that a token may be in, in bytes.
const maxOtherFile = 64 << 10

// tokenFiles returns the paths of the files that a token may be in.
func (s *supervisor) tokenFiles(p ingressauth.Profile) []string {
	return slices.DeleteFunc([]string{p.File, s.variable(p.FileVariable)}, func(path string) bool { return path == "" })
}

// expose looks for tokens of the session where the command's user could read them.
func (s *supervisor) expose(p ingressauth.Profile, texts []string) error {
	o := exposure.Options{Texts: texts, Variable: p.TokenVariable, UID: os.Geteuid(), Confined: s.options.confine, Files: s.tokenFiles(p)}
	o.Groups, _ = os.Getgroups()
	o.Groups = append(o.Groups, os.Getegid())
	if a := s.options.account; a != nil {
		o.UID, o.Groups = a.uid, a.groups
	}
	if f := s.options.settings; f != nil {
		o.Secrets = f.secrets()
	}
	if dir, err := os.Getwd(); err == nil {
		o.Open = append(openDirectories(), dir)
	}
	for _, f := range exposure.Find(o) {
		s.find(f.String())
	}
	if f := s.options.settings; f != nil {
		for _, name := range f.Inherit {
			if s.variable(name) != "" && !s.scrubs(name) {
				s.find(fmt.Sprintf("the command inherits the variable %s, which the token command has to get tokens with: take it away with --scrub", tokentext.Shown(name)))
			}
		}
	}
	advice := s.adviceOn(len(s.findings))
	if typesAbove() {
		s.find("the command can type into its terminal what the shell above then runs, and is contained by nothing: set the sysctl dev.tty.legacy_tiocsti to 0, which Linux 6.2 and later have, or give it a terminal of its own")
	}
	if s.options.isolated && len(s.findings) > 0 {
		return errors.New("--require-isolated: the command could read the token: " + strings.Join(s.findings, "; ") + advice)
	}
	return nil
}

// adviceOn returns what to do about so many findings, as far as that was not done.
func (s *supervisor) adviceOn(findings int) string {
	switch confined, user := s.options.confine, s.options.account != nil; {
	case findings == 0 || confined && user:
		return ""
	case confined:
		return ". --user keeps this user's files from it"
	case user:
		return ". --confine keeps the environments and the memory of others from it"
	}
	return ". --confine keeps the environments and the memory of others from it, and --user this user's files as well"
}

// find notes where the command could read the token.
func (s *supervisor) find(finding string) {
	s.findings = append(s.findings, finding)
	s.events.add(event{Event: eventExposure, Finding: finding})
}

// addChild returns what the command has in place of the token, a new one for each command.
func (s *supervisor) addChild() (ingressauth.Token, error) {
	child, err := s.held.Add(broker.ChildConfig{Name: "command", Scheme: s.token.Scheme(), Supervisor: os.Getpid()})
	if err != nil {
		return ingressauth.Token{}, err
	}
	s.child = child
	return child.Phantom(), nil
}

// keepDescriptors has the command inherit no descriptor that leads to the token.
func (s *supervisor) keepDescriptors(p ingressauth.Profile, texts []string) {
	s.helpers.lock.Lock() // while no token command is started, which changes what is inherited
	defer s.helpers.lock.Unlock()
	if n, ok := tokentext.ParseDescriptor(s.variable(p.DescriptorVariable)); ok && n > 2 && n <= math.MaxInt32 {
		keepFromChildren(n)
	}
	for n, whole := range searchInherited(texts) {
		switch {
		case !whole:
			s.find(fmt.Sprintf("the command inherits descriptor %d, a file that cannot be looked into, or is too large for that", n))
		case n <= 2:
			s.find(fmt.Sprintf("the command's standard stream %d is a file that holds a token", n))
		default:
			keepFromChildren(n)
			s.events.failure(fmt.Errorf("descriptor %d is a file that held the token, and is kept from the command", n))
		}
	}
}
