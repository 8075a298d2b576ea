package ingressauth

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

const (
	// settleTime is how long a file that is rewritten in place must stand
	// unchanged before its text is believed. A writer may pause between pieces.
	settleTime = 20 * time.Millisecond
	// idleTime is how long nobody must have looked for a changed file to be waited
	// for, once and for settleTime, rather than answer with the old token.
	idleTime = time.Second
)

// tokenFile is what is known of the token file. It is a value: next returns what
// is known after another look, and whoever asks keeps that or drops it.
type tokenFile struct {
	path string
	set  bool // by the file variable

	believed finding     // what the file holds, as far as it is believed
	problem  finding     // why the last look brought no token; zero if it did
	looked   time.Time   // when the last look was
	seen     fs.FileInfo // of the version that was last read; nil if that failed
	born     time.Time   // when its inode was made, where the system tells

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
	f.looked = now
	if f.path == "" {
		return f.without(finding{note: "the variable is set and empty, so no file is read", level: slog.LevelDebug})
	}
	for tries := readfile.ReplacedTries; ; tries-- {
		if n, replaced := f.look(now, compat); !replaced || tries == 0 {
			return n
		}
	}
}

// look does so, and reports whether the file was replaced meanwhile.
func (f tokenFile) look(now time.Time, compat bool) (n tokenFile, replaced bool) {
	info, err := os.Stat(f.path)
	if err != nil {
		return f.unreadable(err), false
	}
	settled := readfile.SameVersion(f.pending, info) && now.Sub(f.since) >= settleTime
	if readfile.SameVersion(f.seen, info) && (f.pending == nil || !settled && readfile.SameVersion(f.pending, info)) {
		return f, false // nothing new, or too early to read it once more
	}
	if !settled && !compat && (readfile.SameVersion(f.pending, info) || !f.believable(info, now)) {
		return f.wait(info, now), false
	}
	b, read, err := readTokenFile(f.path, compat)
	switch {
	case err != nil && err != readfile.ErrChanging:
		return f.unreadable(err), false
	case compat:
	case err == readfile.ErrChanging, !readfile.SameVersion(info, read) && !f.believable(read, now):
		return f.wait(read, now), readfile.Replaced(f.path, read)
	}
	settled = settled && readfile.SameVersion(info, read)
	f.seen, f.born, f.pending = read, readfile.BirthTime(f.path), nil
	if !settled {
		f.pending, f.since = read, now
	}
	return f.believe(b), false
}

// unsettled reports whether there is a version that is not believed yet.
func (f tokenFile) unsettled() bool {
	return f.pending != nil && !readfile.SameVersion(f.seen, f.pending)
}

// believe takes what the file holds for its token, if it is one.
func (f tokenFile) believe(b []byte) tokenFile {
	if len(b) > maxToken {
		return f.without(finding{note: tokentext.ErrTooLong.Error(), level: slog.LevelError})
	}
	found := findingIn(b, finding{note: "it is empty", level: slog.LevelError})
	if found.text == "" {
		return f.without(found)
	}
	f.problem, f.believed = finding{}, found
	f.believed.info = f.seen
	return f
}

// believable reports whether a version that is seen for the first time can be
// believed now. One that is being written in place was last changed by writing,
// just now; one that was renamed to its place, by renaming. "Just now" is by the
// wall clock, which is all there is at the first look; what is believed too early,
// since the file system's clock is another, is read again when it has settled.
func (f tokenFile) believable(info fs.FileInfo, now time.Time) bool {
	if f.seen != nil {
		// A number that was given back is soon given to another inode.
		return !os.SameFile(f.seen, info) || !f.born.Equal(readfile.BirthTime(f.path))
	}
	changed := readfile.ChangeTime(info)
	renamed := info.Size() > 0 && changed.After(info.ModTime())
	if changed.IsZero() {
		changed = info.ModTime()
	}
	return renamed || now.Sub(changed) >= settleTime
}

func (f tokenFile) wait(info fs.FileInfo, now time.Time) tokenFile {
	if !readfile.SameVersion(f.pending, info) {
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
	return f.without(finding{note: readfile.WithoutPath(err).Error(), level: slog.LevelError})
}

func (f tokenFile) without(problem finding) tokenFile {
	f.problem = problem
	if f.believed.text == "" {
		f.believed = problem
	}
	return f
}

// readTokenFile reads the token file, following links, of which projected volumes
// are made, and says which version it read. It reads one byte more than a token can
// have. With [readfile.ErrChanging] it returns what it read, too.
func readTokenFile(path string, anyOwner bool) ([]byte, fs.FileInfo, error) {
	return readfile.Regular(path, maxToken+1, func(info fs.FileInfo) error {
		if anyOwner {
			return nil
		}
		return checkOwner(info, path)
	})
}

// checkOwner refuses a file that somebody else can rewrite: one whose owner is
// neither root, nor this user, nor unknown in this user namespace. Root, who acts
// for others, also trusts whoever owns the directory that the path names.
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
