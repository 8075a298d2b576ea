//go:build linux || darwin || freebsd

package ingressauth_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"golang.org/x/sys/unix"
)

func TestTokenFileIsFollowed(t *testing.T) {
	runRules(t, []bool{false}, []rule{
		{"one that appears is found", func(t *testing.T, w *world, _ bool) {
			r := w.resolver(false)
			wantToken(t, r, "")
			w.rename(w.p.File, "in file")
			eventually(t, r, "in file")
		}},
		{"a rename is believed at once", func(t *testing.T, w *world, _ bool) {
			w.freeze()
			path, r := w.following("first")
			for i := range 20 {
				text := fmt.Sprint("renamed ", i)
				w.rename(path, text)
				w.advance(time.Millisecond)
				wantToken(t, r, text)
			}
		}},
		{"links are followed, as in a projected volume", func(t *testing.T, w *world, _ bool) {
			path := w.fileVariable()
			for _, generation := range []string{"1", "2"} {
				w.rename(filepath.Join(w.dir, "..data"+generation, "token"), "generation "+generation)
			}
			link := filepath.Join(w.dir, "..data")
			for _, step := range []error{os.Symlink("..data1", link), os.Symlink("..data/token", path)} {
				if step != nil {
					t.Fatal(step)
				}
			}
			r := w.resolver(false)
			wantToken(t, r, "generation 1")
			if err := errors.Join(os.Symlink("..data2", link+".new"), os.Rename(link+".new", link)); err != nil {
				t.Fatal(err)
			}
			eventually(t, r, "generation 2")
		}},
		{"a change in place is believed after 20 ms", func(t *testing.T, w *world, _ bool) {
			w.freeze()
			path, r := w.following("first")
			w.write(path, "second")
			for range 19 {
				w.advance(time.Millisecond)
				wantToken(t, r, "first")
			}
			w.advance(2 * time.Millisecond)
			wantToken(t, r, "second")
		}},
		{"and every change in place begins them anew", func(t *testing.T, w *world, _ bool) {
			w.freeze()
			path, r := w.following("first")
			for i := range 10 {
				w.write(path, strings.Repeat("x", i+10))
				w.advance(15 * time.Millisecond)
				wantToken(t, r, "first")
			}
			w.advance(21 * time.Millisecond)
			wantToken(t, r, strings.Repeat("x", 19))
		}},
		{"a change in place is waited for by who looks once a minute", func(t *testing.T, w *world, _ bool) {
			path := w.fileVariable()
			w.rename(path, "first")
			r := w.resolver(false)
			begun, ahead := time.Now(), time.Duration(0)
			r.Now = func() time.Time {
				if ahead < time.Minute {
					return begun.Add(ahead) // who is held up here does not look once a minute
				}
				return time.Now().Add(ahead)
			}
			wantToken(t, r, "first")
			w.write(path, "second")
			ahead = time.Millisecond
			wantToken(t, r, "first")
			ahead = time.Minute
			w.write(path, "third")
			wantToken(t, r, "third")
			ahead = 2 * time.Minute
			w.write(path, "fourth")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if got, err := r.Token(ctx); err != nil || got.Reveal() != "third" {
				t.Errorf("without the time to wait: %v, %v", got, err)
			}
		}},
		{"however far our clock is ahead of the file system's", func(t *testing.T, w *world, _ bool) {
			w.freeze()
			w.advance(time.Hour)
			path := w.fileVariable()
			w.write(path, "first")
			r := w.resolver(false)
			wantToken(t, r, "first")
			w.write(path, "second")
			w.advance(19 * time.Millisecond)
			wantToken(t, r, "first")
			w.advance(19 * time.Millisecond)
			wantToken(t, r, "first")
			w.advance(2 * time.Millisecond)
			wantToken(t, r, "second")
		}},
		{"what was believed at once is read once more", func(t *testing.T, w *world, _ bool) {
			w.freeze()
			path, r := w.following("first")
			// A change that the file's times and size do not tell.
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			w.write(path, "FIRST")
			if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
				t.Fatal(err)
			}
			w.advance(21 * time.Millisecond)
			r.Explain(t.Context())
			w.advance(21 * time.Millisecond)
			wantToken(t, r, "first") // its change time has changed: that begins the 20 ms
			w.advance(21 * time.Millisecond)
			wantToken(t, r, "FIRST")
		}},
		{"it is looked at once a millisecond", func(t *testing.T, w *world, _ bool) {
			w.freeze()
			path, r := w.following("first")
			w.rename(path, "second")
			wantToken(t, r, "first")
			w.advance(time.Millisecond)
			wantToken(t, r, "second")
		}},
		{"many who wait for it wait once", func(t *testing.T, w *world, _ bool) {
			path := w.fileVariable()
			w.write(path, "")
			stop := make(chan struct{})
			var writer sync.WaitGroup
			writer.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(2 * time.Millisecond):
						os.WriteFile(path, []byte(strings.Repeat("x", i%50)), 0o600)
					}
				}
			})
			// Whoever waits looks ten times, and at the clock each time.
			var looks atomic.Int64
			r := w.resolver(false)
			r.Now = func() time.Time { looks.Add(1); return time.Now() }
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() { r.Token(t.Context()) })
			}
			all.Wait()
			if n := looks.Load(); n > 80 {
				t.Errorf("ten who wait looked %d times", n)
			}
			r.Renew(t.Context(), newToken(t, "refused", "")) // does not wait for ever
			close(stop)
			writer.Wait()
		}},
		{"one that is removed and written anew is waited for without waiting", func(t *testing.T, w *world, _ bool) {
			w.freeze()
			path, r := w.following("first")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			w.advance(time.Millisecond)
			wantToken(t, r, "first")
			w.write(path, "second")
			var took []time.Duration
			for range 10 {
				w.advance(2 * time.Millisecond)
				start := time.Now()
				wantToken(t, r, "first")
				took = append(took, time.Since(start))
			}
			// Who is held up once or twice has not waited each time.
			if slices.Sort(took); took[5] > 10*time.Millisecond {
				t.Errorf("the old token came after %v", took)
			}
			w.advance(2 * time.Millisecond)
			wantToken(t, r, "second")
		}},
		{"no text takes no token's place", func(t *testing.T, w *world, _ bool) {
			path, r := w.following("first")
			for _, spoil := range []func(){
				func() { w.write(path, "") },
				func() { w.write(path, " \n") },
				func() { w.rename(path, "") },
				func() { w.rename(path, secret+"\x00") },
				func() { w.rename(path, secret+strings.Repeat("x", 64<<10)) },
				func() { os.Remove(path) },
				func() { os.Mkdir(path, 0o700) },
			} {
				spoil()
				time.Sleep(30 * time.Millisecond)
				wantToken(t, r, "first")
				wantToken(t, r, "first")
			}
			w.wantLog(slog.LevelError, "it is empty")
			w.wantLog(slog.LevelError, "control character")
			w.wantLog(slog.LevelError, "it is not a regular file")
			if n := strings.Count(w.log.String(), "level=ERROR"); n > 7 {
				t.Errorf("%d errors were logged; each is worth one:\n%s", n, w.log)
			}
			if strings.Contains(w.log.String(), secret) {
				t.Error("the log shows a token")
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			w.rename(path, "second")
			eventually(t, r, "second")
		}},
		{"what cannot be opened now may be later", func(t *testing.T, w *world, _ bool) {
			path := w.fileVariable()
			if err := os.Symlink(path, path); err != nil {
				t.Fatal(err)
			}
			r := w.resolver(false)
			wantToken(t, r, "")
			w.wantLog(slog.LevelError, unix.ELOOP.Error())
			w.rename(path, "in file")
			eventually(t, r, "in file")
		}},
		{"a wide mode is reported", func(t *testing.T, w *world, _ bool) {
			path := w.fileVariable()
			w.write(path, "in file")
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			r := w.resolver(false)
			wantToken(t, r, "in file")
			w.wantLog(slog.LevelWarn, "others than its owner")
			report := r.Explain(t.Context())
			if got := report.Sources[2].Mode; got != "0640" || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "0640") {
				t.Errorf("mode %s, warnings %q", got, report.Warnings)
			}
		}},
	})
}

// TestRotationUnderLoad has clients that ask for the token, and renew it once if it
// is refused, of a server that takes the two newest; with a dead token in the
// variable all the while. No request may be refused twice.
func TestRotationUnderLoad(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		rotations, pause := 200, 5*time.Millisecond
		if inPlace {
			rotations, pause = 15, 60*time.Millisecond
		}
		w := newWorld(t)
		path := w.fileVariable()
		w.setenv(w.p.TokenVariable, "dead")
		var newest, accepted atomic.Int64 // generations: in the file, and at the server
		w.rename(path, "generation-0")
		r := w.resolver(false)
		var all sync.WaitGroup
		stop := make(chan struct{})
		var requests, renewals, failures atomic.Int64
		takes := func(token ingressauth.Token, newest int64) bool {
			var n int64
			if _, err := fmt.Sscanf(token.Reveal(), "generation-%d", &n); err != nil {
				return false
			}
			return n >= newest-1
		}
		for range 8 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					requests.Add(1)
					token, err := r.Token(t.Context())
					if err == nil && takes(token, accepted.Load()) {
						continue
					}
					renewals.Add(1)
					// What comes while this waits for a processor is nobody's fault.
					before := accepted.Load()
					if token, err = r.Renew(t.Context(), token); err != nil || !takes(token, before) {
						failures.Add(1)
						t.Logf("after generation %d (server: %d): %v, %v", newest.Load(), accepted.Load(), token.Reveal(), err)
					}
				}
			})
		}
		for i := range rotations {
			text := fmt.Sprint("generation-", i+1)
			if inPlace {
				w.write(path, text)
			} else {
				w.rename(path, text)
			}
			newest.Store(int64(i + 1))
			accepted.Store(int64(i + 1))
			time.Sleep(pause)
		}
		close(stop)
		all.Wait()
		if failures.Load() > 0 {
			t.Errorf("in place %v: %d of %d requests were refused twice", inPlace, failures.Load(), requests.Load())
		}
		t.Logf("in place %v: %d requests, %d renewals in %d rotations", inPlace, requests.Load(), renewals.Load(), rotations)
	}
}

// TestTokenFileReplacedMeanwhile has the file be replaced by others as fast as they can, also while
// it is read. What is found is never older than what was there when it was looked for.
func TestTokenFileReplacedMeanwhile(t *testing.T) {
	w := newWorld(t)
	path, r := w.following("0")
	var there atomic.Int64
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := int64(1); ; i++ {
			w.rename(path, fmt.Sprint(i))
			there.Store(i)
			select {
			case <-stop:
				return
			case <-time.After(500 * time.Microsecond):
			}
		}
	})
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline) && !t.Failed(); {
		time.Sleep(2 * time.Millisecond) // in which what was found last has become old
		least := there.Load()
		got, err := r.Renew(t.Context(), newToken(t, "refused", ""))
		if n, _ := strconv.ParseInt(got.Reveal(), 10, 64); err != nil || n < least {
			t.Errorf("found %q, %v; %d was there", got.Reveal(), err, least)
		}
	}
	close(stop)
	writing.Wait()
}

// stoppable is a clock that can be stopped, and goes on with what it is by then.
type stoppable struct {
	lock    sync.Mutex
	stopped time.Time // zero: it goes
}

func (c *stoppable) now() time.Time {
	c.lock.Lock()
	defer c.lock.Unlock()
	if !c.stopped.IsZero() {
		return c.stopped
	}
	return time.Now()
}

func (c *stoppable) stop() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.stopped = time.Now()
}

func (c *stoppable) start() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.stopped = time.Time{}
}

// TestTokenFileWrittenInPieces has a writer that rewrites the file in place, in
// two pieces and with a pause between them. No reader may see a half. To the readers
// no time passes between the pieces, however long the writer waits for a processor.
func TestTokenFileWrittenInPieces(t *testing.T) {
	w := newWorld(t)
	path := w.fileVariable()
	half := strings.Repeat("x", 50)
	generation := func(i int) string { return fmt.Sprintf("%s-%04d-%s", half, i, half) }
	w.rename(path, generation(0))
	var clock stoppable
	resolver := func() *ingressauth.Resolver {
		r := w.resolver(false)
		r.Now = clock.now
		return r
	}
	long := resolver()
	wantToken(t, long, generation(0))

	stop := make(chan struct{})
	written := make(chan int)
	go func() {
		defer close(written)
		for i := 1; ; i++ {
			text := generation(i)
			clock.stop()
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				t.Error(err)
				return
			}
			f.WriteString(text[:60])
			for start := time.Now(); time.Since(start) < 200*time.Microsecond; {
			}
			f.WriteString(text[60:])
			f.Close()
			clock.start()
			select {
			case <-stop:
				written <- i
				return
			case <-time.After(time.Duration(i%40) * time.Millisecond):
			}
		}
	}()
	whole := len(generation(0))
	deadline := time.Now().Add(1500 * time.Millisecond)
	var fresh sync.WaitGroup
	fresh.Go(func() {
		// Programs that start just now have no old token to fall back on.
		for time.Now().Before(deadline) {
			if got := tokenText(t, resolver()); len(got) != whole && got != "" {
				t.Errorf("at its first look, found a text of %d bytes, of %d", len(got), whole)
			}
		}
	})
	const enough = 5
	seen := map[string]bool{}
	for last := deadline.Add(30 * time.Second); time.Now().Before(deadline) || len(seen) < enough && time.Now().Before(last); {
		got := tokenText(t, long)
		if len(got) != whole {
			t.Errorf("found a text of %d bytes, of %d", len(got), whole)
			break
		}
		seen[got] = true
	}
	fresh.Wait()
	if len(seen) < enough {
		t.Errorf("only %d generations were found", len(seen))
	}
	close(stop)
	last := <-written
	eventually(t, long, generation(last))
}

func TestTokenFileIsRegular(t *testing.T) {
	w := newWorld(t)
	path := w.fileVariable()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, compat := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := w.resolver(compat).Token(ctx); !errors.Is(err, ingressauth.ErrNoToken) {
			t.Errorf("a FIFO: %v", err)
		}
	}
	w.wantLog(slog.LevelError, "it is not a regular file")
}

func TestTokenFileOwner(t *testing.T) {
	need(t, os.Geteuid() == 0, "root")
	const somebody, another = 12345, 12346
	for _, tt := range []struct {
		name             string
		file, dir        int
		trusted, reading int // 1: trusted; the user who reads
	}{
		{"root's", 0, 0, 1, 0},
		{"unknown in this user namespace", 65534, 0, 1, 0},
		{"somebody's, for root, in a directory of his", somebody, somebody, 1, 0},
		{"somebody's, for root, in a directory of root's", somebody, 0, 0, 0},
		{"somebody's, for root, in a directory of another's", somebody, another, 0, 0},
		{"his own", somebody, 0, 1, somebody},
		{"root's, for somebody", 0, 0, 1, somebody},
		{"another's, for somebody", another, another, 0, somebody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			dir, err := os.MkdirTemp("/tmp", "ingressauth-test-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			path := filepath.Join(dir, "token")
			w.rename(path, "in file")
			w.setenv(w.p.FileVariable, path)
			for _, err := range []error{os.Chmod(dir, 0o755), os.Chmod(path, 0o644), os.Chown(path, tt.file, -1), os.Chown(dir, tt.dir, -1)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if tt.reading != 0 {
				got := tokenTextAs(t, tt.reading, w)
				if (got == "in file") != (tt.trusted == 1) {
					t.Errorf("found %q", got)
				}
				return
			}
			want := map[int]string{1: "in file"}[tt.trusted]
			wantToken(t, w.resolver(false), want)
			if want == "" {
				w.wantLog(slog.LevelError, "it belongs to user 12345")
			}
			wantToken(t, w.resolver(true), "in file") // which only reports
			if want == "" {
				w.wantLog(slog.LevelWarn, "it belongs to user 12345")
			}
			if report := w.resolver(true).Explain(t.Context()); report.Sources[2].Owner != fmt.Sprint(tt.file) {
				t.Errorf("Explain says that it belongs to %q", report.Sources[2].Owner)
			}
			// A link that anybody made leads nowhere new.
			link := filepath.Join(w.dir, "link")
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			w.setenv(w.p.FileVariable, link)
			if tt.file == somebody {
				wantToken(t, w.resolver(false), "")
			}
		})
	}
}

func TestPersistingFollowsNoLink(t *testing.T) {
	persist := func(w *world) {
		w.setenv(w.p.RemoteVariable, "1")
		w.setenv(w.p.DescriptorVariable, inheritFile(t, "in descriptor"))
		wantToken(t, w.resolver(false), "in descriptor")
	}
	t.Run("file", func(t *testing.T) {
		w := newWorld(t)
		elsewhere := filepath.Join(w.dir, "elsewhere")
		w.write(elsewhere, "another file's")
		w.write(w.p.File, "")
		if err := errors.Join(os.Remove(w.p.File), os.Symlink(elsewhere, w.p.File)); err != nil {
			t.Fatal(err)
		}
		persist(w)
		wantFile(t, elsewhere, "another file's", 0o600)
		wantFile(t, w.p.File, "in descriptor", 0o600)
	})
	t.Run("directory", func(t *testing.T) {
		w := newWorld(t)
		elsewhere := filepath.Join(w.dir, "elsewhere")
		if err := errors.Join(os.Mkdir(elsewhere, 0o700), os.Symlink(elsewhere, filepath.Dir(w.p.File))); err != nil {
			t.Fatal(err)
		}
		persist(w)
		wantNoFile(t, w.p.File)
		w.wantLog(slog.LevelWarn, "its directory is a link")
	})
	t.Run("modes", func(t *testing.T) {
		w := newWorld(t)
		dir := filepath.Dir(w.p.File)
		w.write(w.p.File, "old")
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(w.p.File, 0o644)); err != nil {
			t.Fatal(err)
		}
		defer unix.Umask(unix.Umask(0o277))
		persist(w)
		wantFile(t, w.p.File, "in descriptor", 0o600)
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("a directory that was there has mode %v now, %v", info.Mode(), err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		persist(w)
		wantFile(t, w.p.File, "in descriptor", 0o600)
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("a directory that was made has mode %v, %v", info.Mode(), err)
		}
	})
}

func TestPersistingSweeps(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Dir(w.p.File)
	old := time.Now().Add(-time.Hour)
	for name, age := range map[string]time.Time{
		".well-known.tmp-KILLED": old, ".well-known.tmp-WRITING": time.Now(),
		".another.tmp-KILLED": old, "well-known.bak": old,
	} {
		w.write(filepath.Join(dir, name), secret)
		if err := os.Chtimes(filepath.Join(dir, name), age, age); err != nil {
			t.Fatal(err)
		}
	}
	w.setenv(w.p.RemoteVariable, "1")
	w.setenv(w.p.DescriptorVariable, inheritFile(t, "in descriptor"))
	wantToken(t, w.resolver(false), "in descriptor")
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), ".another.tmp-KILLED .well-known.tmp-WRITING well-known well-known.bak"; got != want {
		t.Errorf("the directory has %s; want %s", got, want)
	}
}

// TestPersistingAtOnce has processes that write the file at the same time, and one
// reader that must see a whole one, always.
func TestPersistingAtOnce(t *testing.T) {
	w := newWorld(t)
	const writers = 16
	whole := make(map[string]bool)
	var processes []*exec.Cmd
	for i := range writers {
		text := strings.Repeat(fmt.Sprintf("%02d", i), 20000)
		whole[text] = true
		cmd := helper(t, w.p, w.p.RemoteVariable+"=1", w.p.DescriptorVariable+"=3")
		fd := filepath.Join(w.dir, fmt.Sprint(i))
		w.write(fd, text)
		f, err := os.Open(fd)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = []*os.File{f}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, cmd)
	}
	ended := make(chan error)
	go func() {
		var err error
		for _, p := range processes {
			err = errors.Join(err, p.Wait())
		}
		ended <- err
	}()
	reads := 0
	for over := false; !over; {
		select {
		case err := <-ended:
			if over = true; err != nil { // and read once more
				t.Error(err)
			}
		default:
		}
		if b, err := os.ReadFile(w.p.File); err == nil {
			reads++
			if !whole[string(b)] {
				t.Fatalf("read %d bytes that no process wrote", len(b))
			}
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(w.p.File)); len(entries) != 1 || reads == 0 {
		t.Errorf("%d files are left, after %d reads", len(entries), reads)
	}
}

// tokenTextAs is what another user's process finds; "" where it finds nothing.
func tokenTextAs(t *testing.T, user int, w *world) string {
	t.Helper()
	cmd := helper(t, w.p)
	cmd.Path = copyOfTestBinary(t)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(out), ingressauth.ErrNoToken.Error()) {
		t.Fatalf("%v: %s", err, out)
	}
	if err != nil {
		return ""
	}
	return string(out)
}

// following returns a resolver that has found this text in the file that the file
// variable names.
func (w *world) following(text string) (path string, r *ingressauth.Resolver) {
	w.t.Helper()
	path = w.fileVariable()
	w.rename(path, text)
	r = w.resolver(false)
	wantToken(w.t, r, text)
	return path, r
}

// eventually waits until a resolver finds want.
func eventually(t testing.TB, r *ingressauth.Resolver, want string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); tokenText(t, r) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("found %q to the end, want %q", tokenText(t, r), want)
		}
	}
}

func wantFile(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != text {
		t.Errorf("%s: %q, %v; want %q", filepath.Base(path), got, err, text)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != mode {
		t.Errorf("%s: %v, %v; want mode %v", filepath.Base(path), info.Mode(), err, mode)
	}
}

func wantNoFile(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", filepath.Base(path), err)
	}
}
