package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/refresh"
)

// renew begins to get tokens from where run gets them itself, and waits for the first. A
// signal that is to end the command ends the wait; others are for the command.
func (s *supervisor) renew(ctx context.Context) error {
	source, err := s.options.newSource(s.resolver, s.helpers.run)
	if err != nil {
		return err
	}
	s.renewed, err = refresh.New(refresh.Config{Source: source, Interval: time.Duration(s.options.refresh), Log: s.events.logger()})
	if err != nil {
		return ofSource(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first := make(chan error, 1)
	go func() {
		_, err := s.renewed.Token(ctx)
		first <- err
	}()
	var early []os.Signal
	for {
		select {
		case err := <-first:
			for _, got := range early {
				select {
				case s.signals <- got:
				default: // more have come since than anybody sends
				}
			}
			if err != nil {
				return ofSource(err)
			}
			if !s.options.brokered { // which has more to say
				state, _ := s.renewed.State()
				if err := s.openStatus(state); err != nil { // the command can do without
					s.events.failure(err)
				}
			}
			return nil
		case got := <-s.signals:
			if s.jobs.hurries(got) {
				return endedBy(got)
			}
			s.helpers.reap()
			if len(early) < cap(s.signals)/2 {
				early = append(early, got)
			}
		}
	}
}

// endedBy is the exit code of who was ended by a signal.
func endedBy(s os.Signal) error {
	number, _ := s.(syscall.Signal)
	return exitStatus(128 + int(number))
}

// ofSource is an error of the source, whose reason is all that there is to say: where the session's
// own token is looked for does not matter.
func ofSource(err error) error {
	return hinted{errors.New(strings.TrimPrefix(err.Error(), "refresh: ")), ""}
}

// openStatus has processes below know how the renewing goes.
func (s *supervisor) openStatus(state refresh.State) (err error) {
	status, err := newStatusFile(s)
	if err != nil {
		return err
	}
	s.status, s.environ = status, status.environ(s.environ)
	return s.status.write(1, state)
}

// closeRenewal begins to end it. What is under way is given up, and that is no failure.
func (s *supervisor) closeRenewal() {
	if s.renewed == nil || s.closed != nil {
		return
	}
	s.closed = make(chan error, 1)
	go func() { s.closed <- s.renewed.Close() }()
	for {
		state, changed := s.renewed.State()
		if state.Token.IsZero() { // as there is none any more
			return
		}
		<-changed
	}
}

// endRenewal waits for that, and so for what can be revoked, unless a signal says that there is
// no time.
func (s *supervisor) endRenewal() {
	defer func() {
		if err := s.status.remove(); err != nil {
			s.events.failure(err)
		}
	}()
	if s.renewed == nil {
		return
	}
	s.closeRenewal()
	for ended := false; !ended; {
		select {
		case err := <-s.closed:
			if ended = true; err != nil {
				s.events.failure(err)
			}
		case got := <-s.signals:
			s.helpers.reap()
			ended = s.hurries(got)
		}
	}
}

// newest returns the newest token and what is known of it, and, where it is renewed here, a
// channel that is closed when that is no longer so. A token that is renewed here may have ended.
func (s *supervisor) newest(ctx context.Context) (refresh.State, <-chan struct{}, error) {
	if s.renewed != nil {
		state, changed := s.renewed.State()
		return state, changed, nil
	}
	t, err := s.resolver.Token(ctx)
	if err == nil && s.options.brokered && phantom.Is(t.Reveal()) {
		return refresh.State{}, nil, errPhantom
	}
	expires, _ := t.Expiry()
	return refresh.State{Token: t, Expires: expires}, nil, err
}
