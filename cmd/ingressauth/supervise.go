package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/broker"
	"github.com/ingressauth/ingressauth/control"
	"github.com/ingressauth/ingressauth/internal/proctree"
	"github.com/ingressauth/ingressauth/internal/tokendir"
	"github.com/ingressauth/ingressauth/launch"
	"github.com/ingressauth/ingressauth/refresh"
	"github.com/spf13/cobra"
)

const (
	// graceTime is how long what got SIGTERM has before SIGKILL.
	graceTime = 5 * time.Second
	// pollTime is how often it is looked for another token.
	pollTime = 20 * time.Millisecond
	// rewriteTime is how often a file is written again that could not be.
	rewriteTime = time.Second
)

// supervisor starts the command, keeps its token fresh, and ends what it has started.
type supervisor struct {
	options   *runOptions
	command   []string
	inherited []string // variables that run was started with
	environ   []string // that the command would have without us
	resolver  *ingressauth.Resolver
	renewed   *refresh.Refresher // nil where the token is what the resolver finds
	closed    chan error         // has what Close of that returns, when that was called
	status    *statusFile        // nil where renewed is
	events    *eventLog
	group     *proctree.Group // nil where none was delegated
	jobs      *jobs
	helpers   helpers
	held      *held         // the broker; nil where the command has the token
	child     *broker.Child // the command, to that
	findings  []string      // where the command could read the token
	signals   chan os.Signal
	feed      *feed        // nil if the command reads our standard input itself
	passing   chan passing // what the feed says; nil if it says nothing

	// The follower's, while there is one.
	token      ingressauth.Token
	generation int
	problem    string // of the last look for a token, told once

	stopping bool      // the command is to end
	deadline time.Time // of what is stopping
	told     time.Time // when the command last got a signal, or ended
}

// supervise runs the command, and returns its exit code as an exitStatus.
func (o *runOptions) supervise(cmd *cobra.Command, command []string) error {
	if o.brokered { // before there is anything to hide
		if err := hide(); err != nil {
			return &runError{exitRun, err}
		}
	}
	s := &supervisor{options: o, command: command, inherited: os.Environ(), environ: os.Environ(), signals: make(chan os.Signal, 64)}
	s.jobs = newJobs(s.helpers.reap)
	listen(s.signals)
	file, err := o.openEvents()
	if err != nil {
		return &runError{exitRun, err}
	}
	if file != nil {
		s.events = newEventLog(file)
		defer s.events.close()
	}
	if err := o.loadSource(); err != nil {
		return &runError{exitRun, err}
	}
	if s.resolver, err = o.resolver(cmd); err != nil {
		return &runError{exitRun, err}
	}
	if o.user != "" {
		if o.account, err = lookupAccount(o.user); err != nil {
			return &runError{exitRun, fmt.Errorf("--user: %w", err)}
		}
		if os.Geteuid() != 0 {
			return &runError{exitRun, errors.New("--user needs root")}
		}
	}
	if o.brokered { // what is written for subprocesses would be the token
		os.Unsetenv(s.resolver.Profile.WithDefaults().RemoteVariable)
	}
	s.resolver.Log = s.events.logger()
	if err := proctree.Adopt(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.events.failure(err)
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	defer s.endRenewal()
	if o.from.renews() {
		err = s.renew(ctx)
	}
	var first refresh.State
	if err == nil {
		first, _, err = s.newest(ctx)
	}
	if _, ended := errors.AsType[exitStatus](err); ended {
		return err
	}
	if err != nil {
		if s.renewed == nil { // which has said it
			s.events.failure(err)
		}
		return &runError{exitRun, err}
	}
	if !slices.Contains(o.deliver, launch.File) { // with which launch does it
		tokendir.Sweep()
	}
	s.token, s.generation = first.Token, 1
	s.events.generation(s.generation, s.token, first.Expires)
	if o.brokered {
		defer func() { s.held.close() }()
		err = s.hold(first.Token)
		if err == nil {
			err = s.openStatus(first)
		}
		if err != nil {
			s.events.failure(err)
			return &runError{exitRun, err}
		}
	}
	s.group = proctree.NewGroup()
	defer s.group.Remove()
	s.openFeed()
	for {
		code, again, err := s.once(ctx)
		if err != nil {
			err = startError(command[0], err)
			s.events.failure(err)
			return err
		}
		if !again {
			return exitStatus(code)
		}
	}
}

// openFeed has our standard input pass through this process, if rotations are to reach
// the command there, or are read from there.
func (s *supervisor) openFeed() {
	if s.options.brokered {
		if isTerminal(os.Stdin) {
			return // where nobody writes tokens
		}
		// Lines that hold the token stay here, whatever is done with it.
		s.feed = newFeed(&control.Reader{In: os.Stdin, Resolver: s.resolver}, nil)
		s.feed.drains = true
	} else if s.options.from.kind == fromControl {
		s.passing = make(chan passing)
		s.feed = newFeed(&control.Reader{In: os.Stdin, Resolver: s.resolver, Observe: true}, func(passed bool, err error) {
			p := passing{passed, err, make(chan struct{})}
			s.passing <- p
			<-p.noted
		})
	} else if s.tells() && s.options.rotates() && !isTerminal(os.Stdin) {
		s.feed = newFeed(os.Stdin, nil)
	} else {
		return
	}
	go s.feed.run()
}

// passing is what the feed says when lines come by which a token can come: before they are
// passed on, and afterwards.
type passing struct {
	passed bool
	err    error
	noted  chan struct{}
}

// tells reports whether rotations reach the command by messages.
func (s *supervisor) tells() bool {
	return !s.options.brokered && !s.options.onRotate.restart &&
		(slices.Contains(s.options.deliver, launch.Environment) || slices.Contains(s.options.deliver, launch.Descriptor))
}

// once runs the command once, and reports whether it is to be run again.
func (s *supervisor) once(ctx context.Context) (code int, again bool, err error) {
	var child *launch.Cmd
	err = s.helpers.start(func() (pid int, err error) {
		if child, err = s.start(); err != nil {
			return 0, err
		}
		if !s.options.onRotate.restart {
			s.letGo() // while no token command is being started
		}
		return child.Command.Process.Pid, nil
	})
	if err != nil {
		return 0, false, err
	}
	pid := child.Command.Process.Pid
	s.events.add(event{Event: eventStart, PID: pid, Generation: s.generation})
	for _, d := range s.options.deliver {
		s.delivered(d, s.generation, nil)
	}

	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	follows, unfollow := context.WithCancel(ctx)
	rotated := make(chan struct{}, 1)
	f := &follower{supervisor: s, child: child, rotated: rotated, ended: make(chan struct{})}
	go f.run(follows)
	err, again = s.attend(child, done, rotated)
	if s.child != nil {
		s.child.Remove()
	}
	code, number := exitCode(child.Command.ProcessState)
	if s.feed != nil {
		s.feed.connect(nil)
	}
	unfollow()
	<-f.ended
	s.events.add(event{Event: eventExit, PID: pid, Code: &code, Signal: number})
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		s.events.failure(err)
	}

	if !again {
		s.closeRenewal()
	}
	s.end()
	s.helpers.resume()
	return code, again && !s.stopping, nil
}

// letGo closes what is the command's alone by now, since no other command is to be started.
func (s *supervisor) letGo() {
	if s.feed == nil {
		discard(os.Stdin)
	}
	discard(os.Stdout)
	// The descriptor may still be read, if another source fails.
	number, _ := strconv.Atoi(os.Getenv(s.resolver.Profile.WithDefaults().DescriptorVariable))
	closeInherited(number)
}

func (s *supervisor) start() (*launch.Cmd, error) {
	command := newCommand(s.command)
	command.Env, command.Stdout, command.Stderr = s.environ, os.Stdout, os.Stderr
	s.jobs.prepare(command, s.group)
	token := s.token
	if s.held != nil {
		var err error
		if token, err = s.addChild(); err != nil {
			return nil, err
		}
	}
	child := &launch.Cmd{
		Command: command,
		Token:   token,
		Deliver: s.options.deliver,
		Profile: s.resolver.Profile,
		Scrub:   s.scrub(),
		Confine: s.options.confine,
	}
	if a := s.options.account; a != nil {
		a.apply(command)
		command.Env = a.environ(command.Env)
	}
	var input io.WriteCloser
	if s.feed == nil {
		command.Stdin = os.Stdin
	} else {
		var err error
		if input, err = child.StdinPipe(); err != nil {
			return nil, err
		}
	}
	s.jobs.rejoin()
	if err := child.Start(); err != nil {
		return nil, err
	}
	if s.options.account != nil { // until it was started it had our memory, and it is not our user's
		if err := hide(); err != nil {
			s.events.failure(err)
		}
	}
	s.jobs.started(command.Process.Pid, !s.options.onRotate.restart)
	if s.feed != nil {
		s.feed.connect(input)
	}
	return child, nil
}

// attend passes signals on until the command has ended, and reports whether that was for
// another one to take its place.
func (s *supervisor) attend(child *launch.Cmd, done <-chan error, rotated <-chan struct{}) (err error, again bool) {
	process := child.Command.Process
	kill := time.NewTimer(0)
	kill.Stop()
	for {
		select {
		case err := <-done:
			s.jobs.ended()
			s.told = time.Now()
			return err, again
		case got := <-s.signals:
			switch {
			case s.jobs.changed(got, process.Pid):
			case s.jobs.orphaned(): // whoever would take our exit code is gone, too
				s.stopping, s.deadline = true, time.Now()
				process.Kill()
			case s.jobs.passes(got, process.Pid):
				switch {
				case s.stopping && s.hurries(got):
					s.deadline = time.Now()
					process.Kill()
				case !s.stopping && (got == signalTerminate || again && s.jobs.hurries(got)):
					s.stopping, s.deadline = true, time.Now().Add(graceTime)
					kill.Reset(graceTime)
				}
				s.told = time.Now()
				if err := process.Signal(got); errors.Is(err, os.ErrProcessDone) && s.jobs.hurries(got) {
					s.stopping, s.deadline = true, time.Now() // it came for what is left
				}
			}
		case <-rotated:
			if !s.stopping && !again {
				again = true
				kill.Reset(graceTime)
				s.jobs.rejoin()
				process.Signal(signalTerminate)
			}
		case <-kill.C:
			process.Kill()
		case <-s.jobs.settling():
			s.jobs.settle(process.Pid)
		}
	}
}

// repeatTime is how soon signals come that belong together: one by several ways, or SIGTERM
// and SIGHUP.
const repeatTime = 300 * time.Millisecond

// hurries reports whether a signal says that the grace is to be cut short.
func (s *supervisor) hurries(got os.Signal) bool {
	return s.jobs.hurries(got) && time.Since(s.told) > repeatTime
}

// end ends what the command has left behind, at once if we are told to stop meanwhile.
func (s *supervisor) end() {
	grace := graceTime
	if s.stopping {
		grace = time.Until(s.deadline)
	}
	hurry, stop, watched := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for hurried := false; ; {
			select {
			case got := <-s.signals:
				s.stopping = s.stopping || s.jobs.hurries(got)
				if !hurried && s.hurries(got) {
					hurried = true
					close(hurry)
				}
			case <-stop:
				return
			}
		}
	}()
	if err := s.helpers.halt(); err != nil {
		s.events.failure(err)
	}
	err := proctree.End(grace, hurry, s.group)
	close(stop)
	<-watched
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.events.failure(err)
	}
}

// delivered notes a delivery that was made, or why not.
func (s *supervisor) delivered(d launch.Delivery, generation int, err error) {
	e := event{Event: eventDelivery, Generation: generation, Delivery: string(d)}
	if err != nil {
		e.Event, e.Error = eventFailure, err.Error()
	}
	s.events.add(e)
}

// listen has the signals sent to c that are passed on, and those that say that something
// happened to a child. A SIGHUP or SIGINT that was ignored when we were started stays so, for
// the command; of the others Go does not tell.
func listen(c chan<- os.Signal) {
	for _, s := range slices.AppendSeq(slices.Clone(jobSignals), maps.Values(passedOn)) {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
}

// listenForEnd has the signals sent to c that are meant to end something, but for those that were
// ignored when we were started.
func listenForEnd(c chan<- os.Signal) {
	for _, s := range passedOn {
		if endsJobs(s) && !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
}
