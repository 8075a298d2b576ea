package ingressauth

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// settleTime is how long a file that is rewritten in place must stand
	// unchanged before its text is believed. A writer may pause between pieces.
	settleTime = 20 * time.Millisecond
	// settledAge is how old a change must be to be believed at first sight. It is
	// compared with the wall clock, so it is far above settleTime.
	settledAge = time.Second
)

// tokenFile is what is known of the token file. It is a value: next returns what
// is known after another look, and whoever asks keeps that or drops it.
type tokenFile struct {
	path string
	set  bool // by the file variable

	believed finding     // what the file holds, as far as it is believed
	problem  finding     // why the last look brought no token; zero if it did
	seen     fs.FileInfo // of the version that was last read; nil if that failed

	// pending is a version that is not believed yet, or that was believed at first
	// sight and is to be read once more, when it has stood since then for
	// settleTime. It is nil where there is none.
	pending fs.FileInfo
	since   time.Time
}

// next looks at the file. A file that appears and one that takes another's place
// (a rename) are believed at once; one that was changed in place when it has
// settled. Where a look brings no token, what was believed before stands.
func (f tokenFile) next(now time.Time, compat bool) tokenFile {
	if f.path == "" {
		return f.without(finding{note: "the variable is set and empty, so no file is read", level: slog.LevelDebug})
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return f.unreadable(err)
	}
	settled := identical(f.pending, info) && now.Sub(f.since) >= settleTime
	if identical(f.seen, info) && (f.pending == nil || !settled && identical(f.pending, info)) {
		return f // nothing new, or too early to read it once more
	}
	if !settled && !compat && !f.believable(info, now) {
		return f.wait(info, now)
	}
	text, read, err := readTokenFile(f.path, compat)
	switch {
	case err != nil && err != errChanging:
		return f.unreadable(err)
	case compat:
	case err == errChanging, !identical(info, read) && !f.believable(read, now):
		return f.wait(read, now)
	}
	settled = settled && identical(info, read)
	info = read
	f.seen, f.pending = info, nil
	if !settled && age(info, now) < settledAge {
		f.pending, f.since = info, now
	}
	if text == "" {
		return f.without(finding{note: "it is empty", level: slog.LevelError})
	}
	found := findingOf(text)
	if found.err != nil {
		return f.without(found)
	}
	f.problem, f.believed = finding{}, found
	f.believed.info = info
	return f
}

// believable reports whether a version that is seen for the first time can be
// believed now. One that is being written in place was last changed by writing,
// just now; one that was renamed to its place, by renaming.
func (f tokenFile) believable(info fs.FileInfo, now time.Time) bool {
	switch a := age(info, now); {
	case f.seen == nil:
		justNow := -settleTime < a && a < settleTime
		return !justNow || info.Size() > 0 && changeTime(info).After(info.ModTime())
	case !os.SameFile(f.seen, info):
		return true
	default:
		return a >= settledAge
	}
}

func (f tokenFile) wait(info fs.FileInfo, now time.Time) tokenFile {
	if !identical(f.pending, info) {
		f.pending, f.since = info, now
	}
	return f.without(finding{note: "it is being written", level: slog.LevelDebug})
}

// unreadable is a look that saw nothing. The next one begins anew.
func (f tokenFile) unreadable(err error) tokenFile {
	f.seen, f.pending = nil, nil
	if errors.Is(err, fs.ErrNotExist) {
		return f.without(finding{note: "it does not exist", level: slog.LevelDebug})
	}
	return f.without(finding{note: withoutPath(err).Error(), level: slog.LevelError})
}

func (f tokenFile) without(problem finding) tokenFile {
	f.problem = problem
	if f.believed.text == "" {
		f.believed = problem
	}
	return f
}

// identical reports whether a file stands as it was seen before.
func identical(seen, info fs.FileInfo) bool {
	return seen != nil && os.SameFile(seen, info) && seen.Size() == info.Size() &&
		seen.ModTime().Equal(info.ModTime()) && changeTime(seen).Equal(changeTime(info))
}

// age is how long ago the file was changed, by the wall clock.
func age(info fs.FileInfo, now time.Time) time.Duration {
	changed := info.ModTime()
	if c := changeTime(info); c.After(changed) {
		changed = c
	}
	return now.Sub(changed)
}

// errChanging says that a file was changed while it was read.
var errChanging = errors.New("it is being written")

// readTokenFile reads the token file, following links (projected volumes are made
// of them), and says which version it read. With errChanging it returns what it
// read, too.
func readTokenFile(path string, anyOwner bool) (text string, info fs.FileInfo, err error) {
	// Not to hang on a FIFO, nor to open a device that acts on it.
	if info, err = os.Stat(path); err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, errNotRegular
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, errNotRegular
	}
	if !anyOwner {
		if err := checkOwner(info, path); err != nil {
			return "", nil, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", nil, err
	}
	if len(b) > maxToken {
		return "", nil, errTooLong
	}
	if text, err = decode(b); err != nil {
		return "", nil, err
	}
	after, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	if !identical(info, after) {
		return text, after, errChanging
	}
	return text, info, nil
}

var errNotRegular = errors.New("it is not a regular file")

// checkOwner refuses a file that somebody else can rewrite: one whose owner is
// neither root, nor this user, nor unknown in this user namespace. Root, who acts
// for others, also takes the owner of the directory that holds the file.
func checkOwner(info fs.FileInfo, path string) error {
	uid, ok := ownerOf(info)
	if !ok {
		return nil
	}
	me := os.Geteuid()
	if uid == 0 || uid == me || isOverflowUser(uid) {
		return nil
	}
	if me == 0 {
		// The directory as it is named: a link in it may lead to a file that
		// anybody made.
		if dir, err := os.Stat(filepath.Dir(path)); err == nil {
			if holder, _ := ownerOf(dir); holder == uid {
				return nil
			}
		}
	}
	return fmt.Errorf("it belongs to user %d, who is neither root nor this user (%d): it may be anybody's", uid, me)
}

// warnings are what should not be so, of a file whose token is used all the same.
func (f tokenFile) warnings() []string {
	info := f.believed.info
	if info == nil {
		return nil
	}
	var w []string
	if info.Mode().Perm()&0o077 != 0 {
		w = append(w, "others than its owner have permissions on it (mode "+modeOf(info)+")")
	}
	if err := checkOwner(info, f.path); err != nil { // read under Compat
		w = append(w, err.Error())
	}
	return w
}

func modeOf(info fs.FileInfo) string { return fmt.Sprintf("%04o", info.Mode().Perm()) }
