package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// fileInterval is how often a file of keys is looked at, if it is asked for keys.
	fileInterval = time.Second
	// fileUnknownInterval is how often it is looked at for ids that it has not: new
	// keys are there at once, and made-up ids cost little.
	fileUnknownInterval = 100 * time.Millisecond
	// fileGrace is for how long the keys of a file stand that cannot be read.
	fileGrace = 5 * time.Minute
)

// NewFileKeySet returns the keys in a file, as [NewKeySet] does, and follows it: the
// file is looked at once a second if keys are asked for, and at once for an id that it
// did not have, though ten times a second at most. It must be there, and be good, now;
// what is wrong with it is an [*fs.PathError].
//
// If it cannot be read later, or is no key set, its last keys stand for five minutes;
// from then on there are none ([KeysUnavailable]) until it is good again. A writer may
// rename a file to its place or write it where it is: half a key set is none. A set
// with no key of use is one, too: every token is then refused. There is nothing to
// close.
func NewFileKeySet(path string, log *slog.Logger) (KeySet, error) {
	f := &fileKeySet{path: path, log: orDefault(log), slot: make(chan struct{}, 1)}
	next, told := f.look(&fileState{})
	if next.failure == nil && len(next.keys) == 0 {
		next.failure = f.error(errNoUse)
	}
	if next.failure != nil {
		return nil, next.failure
	}
	f.state.Store(next)
	f.tell(told)
	return f, nil
}

// fileKeySet follows a file. Whoever looks at the file holds the slot, so that waiting
// for that obeys the context.
type fileKeySet struct {
	path  string
	log   *slog.Logger
	slot  chan struct{}
	state atomic.Pointer[fileState]
}

// fileState is what is known after a look. It does not change.
type fileState struct {
	text    []byte // of the file, when it was last good; nil before that
	keys    keys
	ignored []string  // what was said of keys that are left out
	good    time.Time // when the file was last good
	looked  time.Time
	failure error // of the last look, or nil
}

func (f *fileKeySet) key(ctx context.Context, id string, hasID bool) (*key, error) {
	s := f.state.Load()
	k, err := s.keys.key(ctx, id, hasID)
	age := time.Since(s.looked)
	if age >= fileInterval || err != nil && age >= fileUnknownInterval {
		if s, err = f.newer(ctx, s); err != nil {
			return nil, err
		}
		k, err = s.keys.key(ctx, id, hasID)
	}
	if s.failure != nil && time.Since(s.good) > fileGrace {
		return nil, fmt.Errorf("for longer than %v: %w", fileGrace, s.failure)
	}
	return k, err
}

// newer returns a state that comes after s: another's, or of a look of its own.
func (f *fileKeySet) newer(ctx context.Context, s *fileState) (*fileState, error) {
	select {
	case f.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if next := f.state.Load(); next != s {
		<-f.slot
		return next, nil
	}
	next, told := f.look(s)
	f.state.Store(next)
	<-f.slot
	f.tell(told) // out of the slot: a log may ask for keys
	return next, nil
}

// look looks at the file, and returns what is known then, and what is new about it.
func (f *fileKeySet) look(s *fileState) (next *fileState, told []news) {
	now := time.Now()
	say := func(level slog.Level, message string) {
		told = append(told, news{level, message})
	}
	c := *s
	next = &c
	next.looked = now
	text, err := readKeyFile(f.path)
	if err == nil && (s.text == nil || !bytes.Equal(text, s.text)) {
		var found keys
		var ignored []string
		if found, ignored, err = parseKeySet(text); err == nil {
			for _, message := range ignored {
				if !slices.Contains(s.ignored, message) {
					say(slog.LevelWarn, message)
				}
			}
			if len(found) == 0 {
				say(slog.LevelError, "the key set has no key that is of use: every token is refused")
			}
			next.text, next.keys, next.ignored = text, found, ignored
		}
	}
	if err != nil {
		next.failure = f.error(err)
		if s.failure == nil && s.text != nil {
			say(slog.LevelWarn, fmt.Sprintf("the key set cannot be used, and its last keys stand for %v: %v", fileGrace, err))
		}
		return next, told
	}
	next.good, next.failure = now, nil
	if s.failure != nil {
		say(slog.LevelInfo, "the key set can be used again")
	}
	return next, told
}

// error returns err with the file's name, once.
func (f *fileKeySet) error(err error) error {
	return &fs.PathError{Op: "read key set", Path: f.path, Err: err}
}

// news is what is to be logged after a look.
type news struct {
	level   slog.Level
	message string
}

func (f *fileKeySet) tell(told []news) {
	for _, n := range told {
		f.log.Log(context.Background(), n.level, n.message, "file", f.path)
	}
}

// readKeyFile reads a regular file. Its errors do not name it.
func readKeyFile(path string) ([]byte, error) {
	text, err := func() ([]byte, error) {
		// Not to wait for a pipe.
		if info, err := os.Stat(path); err != nil {
			return nil, err
		} else if !info.Mode().IsRegular() {
			return nil, errors.New("it is not a regular file")
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		// What is too long parseKeySet refuses.
		return io.ReadAll(io.LimitReader(file, maxKeySet+1))
	}()
	if named, ok := errors.AsType[*fs.PathError](err); ok {
		err = named.Err
	}
	return text, err
}
