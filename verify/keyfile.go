package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ingressauth/ingressauth/internal/readfile"
)

const (
	// fileInterval is how often a file of keys is looked at, if it is asked for keys.
	fileInterval = time.Second
	// fileSoon is how often it is looked at for ids that it has not, and while it
	// cannot be used.
	fileSoon = 100 * time.Millisecond
	// fileSettle is how long what was written in place must stand to be believed,
	// and how often it is looked at until it does.
	fileSettle = 20 * time.Millisecond
	// fileWait is how long anybody waits for a look, which takes microseconds but on
	// a file system that hangs, and how long a file may be written to without a
	// word about it.
	fileWait = time.Second
	// fileGrace is for how long the last keys stand of a file that cannot be used.
	fileGrace = 5 * time.Minute
)

// NewFileKeySet returns the keys in a file, as [NewKeySet] does, and follows it: the
// file is looked at once a second if keys are asked for, and within a tenth of that for
// an id that it did not have. What was renamed to its place is believed at once, and
// what was written there when it has stood for 20 ms, lest the half of one set be taken
// with the half of another.
//
// It must be there and be good now, or within a second in which it is written; what is
// wrong with it is an [*fs.PathError]. If it is found later that it cannot be read, is
// no key set, or is written all the time, its last keys stand for five minutes; from
// then on, and for ids that are not among them, there are none ([KeysUnavailable]) until
// it is good again. A set with no key of use is a set, too: every token is then refused.
// A nil log means [slog.Default]. There is nothing to close.
func NewFileKeySet(path string, log *slog.Logger) (KeySet, error) {
	f := &fileKeySet{path: path, log: orDefault(log)}
	s, told := f.next(&fileState{})
	for s.pending != nil {
		time.Sleep(fileSettle)
		s, told = f.next(s)
	}
	f.tell(told)
	switch {
	case s.failure != nil:
		return nil, f.error(s.failure)
	case len(s.keys.list) == 0:
		return nil, f.error(errNoUse)
	}
	f.state.Store(s)
	return f, nil
}

// fileKeySet follows a file.
type fileKeySet struct {
	path  string
	log   *slog.Logger
	state atomic.Pointer[fileState]

	mu     sync.Mutex
	flight *fileFlight // the look that is under way, or nil
}

// fileFlight is a look at the file. It is nobody's, so that who waits for it can give
// up, also where the file system hangs.
type fileFlight struct {
	begun time.Time
	done  chan struct{}
}

// fileState is what is known after a look. It does not change.
type fileState struct {
	keys    keys
	text    []byte      // that the keys are of; nil before there are any
	info    fs.FileInfo // of the file that had it
	born    time.Time   // when its inode was made, where the system tells
	ignored []string    // what was said of keys that are left out
	looked  time.Time

	// While the file is not believed:
	doubted time.Time   // since when; zero if it is believed
	pending fs.FileInfo // the version that was seen last and has to stand, or nil
	failure error       // why the file cannot be used, or nil
}

var errHangs = errors.New("its file system does not answer")

func (f *fileKeySet) key(ctx context.Context, id string, hasID bool) (*key, error) {
	s := f.state.Load()
	k, err := s.keys.key(ctx, id, hasID)
	if time.Since(s.looked) >= s.interval(err != nil) {
		s = f.look(ctx, s)
		k, err = s.keys.key(ctx, id, hasID)
	}
	// Where what the file has is not known, nor is that it lacks the key.
	switch {
	case !s.doubted.IsZero() && (err != nil || time.Since(s.doubted) > fileGrace):
		return nil, f.error(cmp.Or(s.failure, readfile.ErrChanging))
	case time.Since(s.looked) > fileGrace && ctx.Err() != nil:
		return nil, ctx.Err()
	case time.Since(s.looked) > fileGrace:
		return nil, f.error(errHangs)
	}
	return k, err
}

func (f *fileKeySet) known(ctx context.Context, id string, hasID bool) (*key, error) {
	return f.key(ctx, id, hasID)
}

// interval is how long what is known holds.
func (s *fileState) interval(lacksKey bool) time.Duration {
	switch {
	case s.failure == nil && s.pending != nil:
		return fileSettle
	case s.failure != nil, lacksKey:
		return fileSoon
	}
	return fileInterval
}

// look returns what is known after s: by a look that it waits for, or if that takes
// long, or the context ends, what is known now.
func (f *fileKeySet) look(ctx context.Context, s *fileState) *fileState {
	f.mu.Lock()
	if now := f.state.Load(); now != s {
		f.mu.Unlock()
		return now
	}
	l := f.flight
	if l == nil {
		l = &fileFlight{begun: time.Now(), done: make(chan struct{})}
		f.flight = l
		go f.fly(l)
	}
	f.mu.Unlock()
	select {
	case <-l.done:
	case <-ctx.Done():
	case <-time.After(fileWait - time.Since(l.begun)):
	}
	return f.state.Load()
}

func (f *fileKeySet) fly(l *fileFlight) {
	s, told := f.next(f.state.Load())
	f.state.Store(s)
	f.mu.Lock()
	f.flight = nil
	f.mu.Unlock()
	close(l.done)
	f.tell(told) // nobody waits for the log
}

// next looks at the file, and returns what is known then, and what is to be said of it.
func (f *fileKeySet) next(s *fileState) (*fileState, []news) {
	for tries := readfile.ReplacedTries; ; tries-- {
		// What is too long parseKeySet refuses.
		text, info, err := readfile.Regular(f.path, maxKeySet+1, nil)
		born := readfile.BirthTime(f.path)
		// Where it was replaced, it may have been another that was born.
		if tries == 0 || err != nil && err != readfile.ErrChanging || !readfile.Replaced(f.path, info) {
			return f.judge(s, text, info, born, err)
		}
	}
}

// judge returns what is known after a look that has brought this.
func (f *fileKeySet) judge(s *fileState, text []byte, info fs.FileInfo, born time.Time, err error) (*fileState, []news) {
	c := *s
	c.looked = time.Now()
	switch {
	case err == readfile.ErrChanging:
		return c.unsettled(info)
	case err != nil:
		return c.unusable(err)
	case s.text != nil && bytes.Equal(text, s.text):
		c.info, c.born = info, born
		return c.usable(nil)
	}
	found, ignored, err := parseKeySet(text)
	// A number that was given back is soon given to another inode.
	whole := s.info != nil && (!os.SameFile(s.info, info) || !born.Equal(s.born)) || // it was renamed to its place, or
		s.info == nil && c.looked.Sub(info.ModTime()) >= fileSettle // nobody has written to it lately
	settled := readfile.SameVersion(s.pending, info) && c.looked.Sub(s.looked) >= fileSettle
	switch {
	case !settled && (!whole || err != nil):
		return c.unsettled(info)
	case err != nil:
		return c.unusable(err)
	}
	c.text, c.info, c.born, c.keys, c.ignored = text, info, born, found.adopt(s.keys), ignored
	var told []news
	for _, message := range newIn(ignored, s.ignored) {
		told = append(told, news{slog.LevelWarn, message})
	}
	if len(found.list) == 0 {
		told = append(told, news{slog.LevelError, "the key set has no key that is of use: every token is refused"})
	}
	return c.usable(told)
}

// unsettled is the state when what the file has must stand first. A file that is written
// all the time is no better than one that cannot be read.
func (s fileState) unsettled(info fs.FileInfo) (*fileState, []news) {
	if s.doubted.IsZero() {
		s.doubted = s.looked
	}
	s.pending = info
	if s.failure == nil && s.looked.Sub(s.doubted) >= fileWait {
		return s.unusable(readfile.ErrChanging)
	}
	return &s, nil
}

// unusable is the state when the file cannot be used.
func (s fileState) unusable(err error) (*fileState, []news) {
	var told []news
	if s.failure == nil && s.text != nil {
		told = []news{{slog.LevelWarn, fmt.Sprintf("the key set cannot be used, and its last keys stand for %v: %v", fileGrace, err)}}
	}
	if s.doubted.IsZero() {
		s.doubted = s.looked
	}
	s.pending, s.failure = nil, err
	return &s, told
}

// usable is the state when what the file has is believed.
func (s fileState) usable(told []news) (*fileState, []news) {
	if s.failure != nil {
		told = append(told, news{slog.LevelInfo, "the key set can be used again"})
	}
	s.doubted, s.pending, s.failure = time.Time{}, nil, nil
	return &s, told
}

// error returns err with the file's name.
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
