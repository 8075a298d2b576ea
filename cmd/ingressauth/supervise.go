package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
	"github.com/ingressauth/ingressauth/internal/proctree"
	"github.com/ingressauth/ingressauth/launch"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	// graceTime is how long what got SIGTERM has before SIGKILL.
	graceTime = 5 * time.Second
	// pollTime is how often it is looked for another token.
	pollTime = 20 * time.Millisecond
)

// supervisor starts the command, keeps its token fresh, and ends what it has started.
type supervisor struct {
	options  *runOptions
	command  []string
	environ  []string // that the command would have without us
	resolver *ingressauth.Resolver
	events   *eventLog
	group    *proctree.Group // nil where none was delegated
	jobs     *jobs
	signals  chan os.Signal
	feed     *feed // nil if the command reads our standard input itself

	token      ingressauth.Token
	generation int
	problem    string // of the last look for a token, told once

	stopping bool      // the command is to end
	deadline time.Time // of what is stopping; zero if that has no bound
}

// supervise runs the command, and returns its exit code as an exitStatus.
func (o *runOptions) supervise(cmd *cobra.Command, command []string) error {
	s := &supervisor{options: o, command: command, environ: os.Environ(), signals: make(chan os.Signal, 64)}
	s.jobs = newJobs()
	listen(s.signals)
	file, err := o.openEvents()
	if err != nil {
		return &runError{exitRun, err}
	}
	if file != nil {
		s.events = newEventLog(file)
		defer s.events.close()
	}
	if s.resolver, err = o.resolver(cmd); err != nil {
		return &runError{exitRun, err}
	}
	s.resolver.Log = s.events.logger()
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	if s.token, err = s.resolver.Token(ctx); err != nil {
		return &runError{exitRun, err}
	}
	s.generation = 1
	s.events.generation(s.generation, s.token)
	if err := proctree.Adopt(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.events.failure(err)
	}
	s.group = proctree.NewGroup()
	defer s.group.Remove()
	s.openFeed()
	for {
		code, again, err := s.once(ctx)
		if err != nil {
			s.events.failure(err)
			return startError(err)
		}
		if !again {
			return exitStatus(code)
		}
	}
}

// openFeed has our standard input pass through this process, if rotations are to reach
// the command there, or are read from there.
func (s *supervisor) openFeed() {
	observe := s.options.from.value == fromControl
	told := slices.Contains(s.options.deliver, launch.Environment) || slices.Contains(s.options.deliver, launch.Descriptor)
	if !observe && (!told || !s.options.rotates() || s.options.onRotate.restart || term.IsTerminal(int(os.Stdin.Fd()))) {
		return
	}
	s.feed = newFeed(os.Stdin, s.options.onRotate.restart)
	if observe {
		s.feed.in = &control.Reader{In: os.Stdin, Resolver: s.resolver, Observe: true}
		s.feed.looks = make(chan chan struct{})
	}
	go s.feed.run()
}

// once runs the command once, and reports whether it is to be run again.
func (s *supervisor) once(ctx context.Context) (code int, again bool, err error) {
	child, err := s.start()
	if err != nil {
		return 0, false, err
	}
	pid := child.Command.Process.Pid
	s.events.add(event{Event: eventStart, PID: pid, Generation: s.generation})
	for _, d := range s.options.deliver {
		s.delivered(d, nil)
	}
	if s.feed == nil && !s.options.onRotate.restart {
		discard(os.Stdin)
	}
	if !s.options.onRotate.restart {
		discard(os.Stdout)
	}

	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	follows, unfollow := context.WithCancel(ctx)
	rotated := make(chan struct{}, 1)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		s.follow(follows, child, rotated)
	}()
	err, again = s.attend(child, done, rotated)
	unfollow()
	<-followed

	s.end()
	code, number := exitCode(child.Command.ProcessState)
	s.events.add(event{Event: eventExit, PID: pid, Code: &code, Signal: number})
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		s.events.failure(err)
	}
	return code, again && !s.stopping, nil
}

func (s *supervisor) start() (*launch.Cmd, error) {
	command := exec.Command(s.command[0], s.command[1:]...)
	if errors.Is(command.Err, exec.ErrDot) {
		command.Err = nil // it is what the user's PATH says
	}
	command.Env, command.Stdout, command.Stderr = s.environ, os.Stdout, os.Stderr
	s.jobs.prepare(command, s.group)
	child := &launch.Cmd{
		Command: command,
		Token:   s.token,
		Deliver: s.options.deliver,
		Profile: s.resolver.Profile,
		Scrub:   s.options.scrub,
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
	s.jobs.started(command.Process.Pid)
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
			return err, again
		case got := <-s.signals:
			switch {
			case s.jobs.changed(got, process.Pid):
			case s.jobs.orphaned(): // whoever would take our exit code is gone, too
				s.stopping, s.deadline = true, time.Now()
				process.Kill()
			case s.jobs.passes(got):
				if got == signalTerminate && !s.stopping {
					s.stopping, s.deadline = true, time.Now().Add(graceTime)
					kill.Reset(graceTime)
				}
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
		}
	}
}

// end ends what the command has left behind. Who tells us to stop meanwhile gets that at
// once.
func (s *supervisor) end() {
	grace := graceTime
	if s.stopping {
		grace = time.Until(s.deadline)
	}
	hurry, ended := make(chan struct{}), make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for hurry := hurry; ; {
			select {
			case got := <-s.signals:
				if hurry != nil && s.jobs.hurries(got) {
					s.stopping = true
					close(hurry)
					hurry = nil
				}
			case <-ended:
				return
			}
		}
	}()
	err := proctree.End(grace, hurry, s.group)
	close(ended)
	<-watched
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.events.failure(err)
	}
}

// follow looks for other tokens, and has the command get them, until the context ends.
func (s *supervisor) follow(ctx context.Context, child *launch.Cmd, rotated chan<- struct{}) {
	var tick <-chan time.Time
	if s.options.rotates() {
		ticker := time.NewTicker(pollTime)
		defer ticker.Stop()
		tick = ticker.C
	}
	var looks chan chan struct{}
	if s.feed != nil {
		looks = s.feed.looks
	}
	for {
		var asked chan struct{}
		select {
		case <-ctx.Done():
			return
		case <-tick:
		case asked = <-looks:
		}
		if s.look(ctx) {
			s.rotate(ctx, child, rotated)
		}
		if asked != nil {
			close(asked)
		}
	}
}

// look reports whether there is another token.
func (s *supervisor) look(ctx context.Context) bool {
	t, err := s.resolver.Token(ctx)
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		if err.Error() != s.problem {
			s.problem = err.Error()
			s.events.failure(err)
		}
		return false
	}
	s.problem = ""
	if t == s.token {
		return false
	}
	s.token = t
	s.generation++
	s.events.generation(s.generation, t)
	return true
}

// rotate has the command get the token, by its deliveries, the file first: whoever is told
// by the others may read it.
func (s *supervisor) rotate(ctx context.Context, child *launch.Cmd, rotated chan<- struct{}) {
	action := s.options.onRotate
	if action.restart {
		select {
		case rotated <- struct{}{}:
		default:
		}
		return
	}
	if slices.Contains(s.options.deliver, launch.File) {
		s.delivered(launch.File, child.Rotate(ctx, s.token, launch.File))
	}
	var told error
	for i, d := range slices.DeleteFunc(slices.Clone(s.options.deliver), func(d launch.Delivery) bool { return d == launch.File }) {
		if i == 0 && !s.observed() { // one message is for both
			told = child.Rotate(ctx, s.token, d)
		}
		s.delivered(d, told)
	}
	if action.signal != nil {
		if err := child.Command.Process.Signal(action.signal); err != nil {
			s.events.failure(err)
		}
	}
}

// observed reports whether the token came by a line that the command is about to get, too.
func (s *supervisor) observed() bool {
	return s.options.from.value == fromControl &&
		os.Getenv(s.resolver.Profile.WithDefaults().TokenVariable) == s.token.Reveal()
}

// delivered notes a delivery that was made, or why not.
func (s *supervisor) delivered(d launch.Delivery, err error) {
	e := event{Event: eventDelivery, Generation: s.generation, Delivery: string(d)}
	if err != nil {
		e.Event, e.Error = eventFailure, err.Error()
	}
	s.events.add(e)
}

// listen has the signals sent to c that are passed on, and those that say that something
// happened to a child. What was ignored when we were started stays so, for the command.
func listen(c chan<- os.Signal) {
	for _, s := range slices.AppendSeq(slices.Clone(jobSignals), maps.Values(passedOn)) {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
}
