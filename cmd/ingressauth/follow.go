package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/ingressauth/ingressauth/launch"
)

// follower looks for other tokens while a command runs, and has it get them.
type follower struct {
	*supervisor
	child   *launch.Cmd
	rotated chan<- struct{} // told if the command is to be replaced
	ended   chan struct{}   // closed at the end

	byLine bool // the newest token came by a line that is not passed on yet

	// A message under way. It is sent in a goroutine of its own, since a command that does
	// not read holds it up, and must not hold up the file.
	cancel context.CancelFunc // nil if there is none
	told   chan struct{}
}

// run looks until the context ends.
func (f *follower) run(ctx context.Context) {
	defer close(f.ended)
	defer f.untell()
	var tick <-chan time.Time
	if f.options.rotates() {
		ticker := time.NewTicker(pollTime)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			f.look(ctx)
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
	t, err := f.resolver.Token(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if err.Error() != f.problem {
			f.problem = err.Error()
			f.events.failure(err)
		}
	case t != f.token:
		f.problem = ""
		f.token = t
		f.generation++
		f.events.generation(f.generation, t)
		f.rotate(ctx)
	}
}

// rotate has the command get the token, by its deliveries, the file first: whoever is told
// by the others may read it.
func (f *follower) rotate(ctx context.Context) {
	f.untell()
	action := f.options.onRotate
	if action.restart {
		select {
		case f.rotated <- struct{}{}:
		default:
		}
		return
	}
	if slices.Contains(f.options.deliver, launch.File) {
		f.delivered(launch.File, f.generation, f.child.Rotate(ctx, f.token, launch.File))
	}
	f.byLine = f.options.from.value == fromControl &&
		os.Getenv(f.resolver.Profile.WithDefaults().TokenVariable) == f.token.Reveal()
	if f.tells() && !f.byLine {
		f.tell(ctx)
	}
	if action.signal != nil {
		if err := f.child.Command.Process.Signal(action.signal); err != nil {
			f.events.failure(err)
		}
	}
}

// tell sends the command a message with the token, until it has it or another one comes.
func (f *follower) tell(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	told := make(chan struct{})
	f.cancel, f.told = cancel, told
	token, generation := f.token, f.generation
	go func() {
		defer close(told)
		for late := false; ; late = true {
			err := f.child.Rotate(ctx, token, f.messaged()[0])
			switch {
			case ctx.Err() != nil || errors.Is(err, os.ErrProcessDone):
				return
			case err == nil || !late: // one failure is said
				f.noteMessage(generation, err)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				return
			}
		}
	}()
}

// untell ends a message that is under way: its token is an old one.
func (f *follower) untell() {
	if f.cancel != nil {
		f.cancel()
		<-f.told
		f.cancel = nil
	}
}

// passedOn notes that the command has got the lines by which the newest token came, or why
// not.
func (f *follower) passedOn(err error) {
	if f.byLine {
		f.byLine = false
		f.noteMessage(f.generation, err)
	}
}

// messaged are the deliveries whose rotations are messages.
func (f *follower) messaged() []launch.Delivery {
	return slices.DeleteFunc(slices.Clone(f.options.deliver), func(d launch.Delivery) bool { return d == launch.File })
}

// noteMessage notes what became of the one message that is for all of these.
func (f *follower) noteMessage(generation int, err error) {
	for _, d := range f.messaged() {
		f.delivered(d, generation, err)
	}
}
