package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/ingressauth/ingressauth/launch"
	"github.com/ingressauth/ingressauth/refresh"
)

// follower looks for other tokens while a command runs, and has it get them.
type follower struct {
	*supervisor
	child   *launch.Cmd
	rotated chan<- struct{} // told if the command is to be replaced
	ended   chan struct{}   // closed at the end
	changed <-chan struct{} // closed when the state of what renews the token is another one

	said refresh.State // what processes below know of the renewing
	mute bool          // that they do not know more was said

	// Of the newest token.
	unwritten bool // the file does not have it yet
	failed    bool // and that was said
	byLine    bool // it came by a line that is not passed on yet
	untold    bool // of a message nothing is known yet
	signals   bool // the command is to be signalled

	// A message under way. It is sent in a goroutine of its own, since a command that does
	// not read holds it up, and must not hold up the file.
	cancel  context.CancelFunc // nil if there is none
	told    chan struct{}
	outcome chan error // of the first attempt, and of the last
}

// run looks until the context ends.
func (f *follower) run(ctx context.Context) {
	defer close(f.ended)
	defer f.untell()
	var tick <-chan time.Time
	if f.options.rotates() {
		every := pollTime
		if f.renewed != nil { // of which we learn
			every = rewriteTime
			f.look(ctx)
		}
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.changed:
			f.look(ctx)
		case <-tick:
			f.look(ctx)
			f.write(ctx)
		case err := <-f.outcome:
			f.noteMessage(err)
		case p := <-f.passing:
			if p.passed {
				f.passedOn(p.err)
			} else {
				f.look(ctx)
			}
			close(p.noted)
		}
	}
}

// look has the command get another token, if there is one.
func (f *follower) look(ctx context.Context) {
	state, changed, err := f.newest(ctx)
	f.changed = changed
	switch t := state.Token; {
	case ctx.Err() != nil:
	case err != nil:
		if err.Error() != f.problem {
			f.problem = err.Error()
			f.events.failure(err)
		}
	case t == f.token, t.IsZero():
		f.problem = ""
	default:
		f.problem = ""
		f.token = t
		f.generation++
		f.events.generation(f.generation, t, state.Expires)
		f.rotate(ctx)
	}
	f.say(state)
}

// say has processes below know how the renewing goes, if they do not.
func (f *follower) say(state refresh.State) {
	// An error is not compared: it may be of a type that cannot be.
	if f.renewed == nil || state.Generation == f.said.Generation && state.Next.Equal(f.said.Next) {
		return
	}
	err := f.status.write(f.generation, state)
	if err == nil {
		f.said = state
	} else if !f.mute { // one failure is said
		f.events.failure(err)
	}
	f.mute = err != nil
}

// rotate has the command get the token, by its deliveries, the file first: whoever is told
// by the others may read it.
func (f *follower) rotate(ctx context.Context) {
	if f.held != nil { // which asks for the token itself
		return
	}
	f.untell()
	if f.options.onRotate.restart {
		select {
		case f.rotated <- struct{}{}:
		default:
		}
		return
	}
	f.unwritten, f.failed = slices.Contains(f.options.deliver, launch.File), false
	f.untold = f.tells()
	f.signals = f.options.onRotate.signal != nil
	f.byLine = f.tells() && f.options.from.kind == fromControl &&
		os.Getenv(f.resolver.Profile.WithDefaults().TokenVariable) == f.token.Reveal()
	f.write(ctx)
	if f.tells() && !f.byLine {
		f.tell(ctx)
	}
	f.signal()
}

// write has the file have the token. It is tried again until it has, as a disk may be full
// for a while.
func (f *follower) write(ctx context.Context) {
	if !f.unwritten {
		return
	}
	err := f.child.Rotate(ctx, f.token, launch.File)
	if errors.Is(err, os.ErrProcessDone) {
		return
	}
	f.unwritten = err != nil
	if err == nil || !f.failed { // one failure is said
		f.delivered(launch.File, f.generation, err)
	}
	f.failed = err != nil
	f.signal()
}

// tell sends the command a message with the token, until it has it or another one comes.
func (f *follower) tell(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	told, outcome := make(chan struct{}), make(chan error)
	f.cancel, f.told, f.outcome = cancel, told, outcome
	token := f.token
	go func() {
		defer close(told)
		for late := false; ; late = true {
			err := f.child.Rotate(ctx, token, f.messaged()[0])
			if again := errors.Is(err, context.DeadlineExceeded); !late || !again {
				select {
				case outcome <- err:
				case <-ctx.Done():
					return
				}
				if !again {
					return
				}
			}
		}
	}()
}

// untell ends a message that is under way: its token is an old one.
func (f *follower) untell() {
	if f.cancel != nil {
		f.cancel()
		<-f.told
		f.cancel, f.outcome = nil, nil
	}
}

// passedOn notes that the command has got the lines by which the newest token came, or why
// not.
func (f *follower) passedOn(err error) {
	if f.byLine {
		f.byLine = false
		f.noteMessage(err)
	}
}

// messaged are the deliveries whose rotations are messages.
func (f *follower) messaged() []launch.Delivery {
	return slices.DeleteFunc(slices.Clone(f.options.deliver), func(d launch.Delivery) bool { return d == launch.File })
}

// noteMessage notes what became of the one message that is for all of these.
func (f *follower) noteMessage(err error) {
	if errors.Is(err, os.ErrProcessDone) {
		return
	}
	for _, d := range f.messaged() {
		f.delivered(d, f.generation, err)
	}
	f.untold = false
	f.signal()
}

// signal sends the command its signal, when it has the token by all ways that work.
func (f *follower) signal() {
	if !f.signals || f.unwritten || f.untold {
		return
	}
	f.signals = false
	if err := f.child.Command.Process.Signal(f.options.onRotate.signal); err != nil {
		f.events.failure(err)
	}
}
