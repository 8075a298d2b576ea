//go:build linux || darwin || freebsd

package ingressauth_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"golang.org/x/sys/unix"
)

// numbers are the numbers of descriptors that were given out. One is never used
// twice, since its first outcome holds for the life of the process.
var numbers atomic.Int64

func init() { numbers.Store(1000) }

// inherit makes f look like an inherited descriptor: with a number of its own and
// without close-on-exec. It closes f.
func inherit(t testing.TB, f *os.File) string {
	t.Helper()
	defer f.Close()
	n, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, int(numbers.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	numbers.Store(max(numbers.Load(), int64(n)))
	t.Cleanup(func() { unix.Close(n) })
	return strconv.Itoa(n)
}

// inheritFile is a descriptor on a file that holds text.
func inheritFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return inherit(t, f)
}

// inheritPipe is a descriptor on a pipe, and the pipe's other end.
func inheritPipe(t testing.TB, text string) (number string, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if _, err := w.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return inherit(t, r), w
}

// unused is the number of no open descriptor.
func unused() string { return strconv.FormatInt(numbers.Add(1), 10) }

func TestDescriptorRules(t *testing.T) {
	runRules(t, []bool{false, true}, []rule{
		{"R4 the number", func(t *testing.T, w *world, compat bool) {
			n := inheritFile(t, "in descriptor")
			for _, s := range []string{n, "\uFEFF\t" + n, " +" + n, "00" + n, n + "abc", n + ".7", n + " 4"} {
				w.setenv(w.p.DescriptorVariable, s)
				wantToken(t, w.resolver(compat), "in descriptor")
			}
			w.write(w.p.File, "in file")
			for _, s := range []string{"-" + n, "0x" + n, "99999999999", "99999999999999999999999", "-99999999999999999999999"} {
				if compat && s[:2] == "0x" {
					continue // descriptor 0, which compat reads
				}
				w.setenv(w.p.DescriptorVariable, s)
				wantToken(t, w.resolver(compat), "in file")
			}
		}},
		{"R5 a pipe is read to its end and trimmed", func(t *testing.T, w *world, compat bool) {
			n, pipe := inheritPipe(t, "\uFEFF in ")
			w.setenv(w.p.DescriptorVariable, n)
			go func() {
				time.Sleep(20 * time.Millisecond)
				pipe.WriteString("pipe\r\n ")
				pipe.Close()
			}()
			r := w.resolver(compat)
			wantToken(t, r, "in pipe")
			wantToken(t, r, "in pipe")
			wantToken(t, w.resolver(compat), "in pipe")
			wantToken(t, w.resolver(!compat), "in pipe")
			w.wantQuiet()
		}},
		{"R5 a file is read from its start and its offset stays", func(t *testing.T, w *world, compat bool) {
			n := inheritFile(t, "in descriptor\n")
			fd, _ := strconv.Atoi(n)
			if _, err := unix.Seek(fd, 5, 0); err != nil {
				t.Fatal(err)
			}
			w.setenv(w.p.DescriptorVariable, n)
			wantToken(t, w.resolver(compat), "in descriptor")
			if at, err := unix.Seek(fd, 0, 1); err != nil || at != 5 {
				t.Errorf("the offset is %d, %v; want 5", at, err)
			}
		}},
		{"R5 an empty descriptor ends the search", func(t *testing.T, w *world, compat bool) {
			w.write(w.fileVariable(), "in file")
			w.setenv(w.p.DescriptorVariable, inheritFile(t, ""))
			wantToken(t, w.resolver(compat), "")
			n, pipe := inheritPipe(t, " \r\n")
			pipe.Close()
			w.setenv(w.p.DescriptorVariable, n)
			r := w.resolver(compat)
			wantToken(t, r, "")
			w.wantLog(slog.LevelError, "descriptor "+n+": it is empty")
			w.rename(w.fileVariable(), "renewed")
			wantToken(t, r, "")
		}},
		{"R5 what cannot be read leads to the file", func(t *testing.T, w *world, compat bool) {
			w.write(w.fileVariable(), "in file")
			dir, err := os.Open(w.dir)
			if err != nil {
				t.Fatal(err)
			}
			n, pipe := inheritPipe(t, "")
			go func() {
				pipe.WriteString(strings.Repeat("x", 64<<10+1))
				pipe.Close()
			}()
			for number, reason := range map[string]string{
				unused():        "it is not open",
				inherit(t, dir): "it is a directory",
				n:               "it holds more than 64 KiB",
				"2147483648":    "no descriptor has this number",
				"-1":            "no descriptor has this number",
			} {
				w.setenv(w.p.DescriptorVariable, number)
				wantToken(t, w.resolver(compat), "in file")
				w.wantLog(slog.LevelError, "descriptor "+number+": it cannot be read: "+reason)
			}
		}},
		{"R7 the token is written for others", func(t *testing.T, w *world, compat bool) {
			for _, remote := range []string{"1", "true", "YES", " On\n"} {
				if err := os.RemoveAll(filepath.Dir(w.p.File)); err != nil {
					t.Fatal(err)
				}
				w.setenv(w.p.RemoteVariable, remote)
				w.setenv(w.p.DescriptorVariable, inheritFile(t, " in descriptor "))
				wantToken(t, w.resolver(compat), "in descriptor")
				wantFile(t, w.p.File, "in descriptor", 0o600)
				if info, err := os.Stat(filepath.Dir(w.p.File)); err != nil || info.Mode() != fs.ModeDir|0o700 {
					t.Errorf("its directory: %v, %v", info.Mode(), err)
				}
			}
			w.unsetenv(w.p.DescriptorVariable)
			wantToken(t, w.resolver(compat), "in descriptor")
		}},
		{"R7 only in a remote session", func(t *testing.T, w *world, compat bool) {
			for _, remote := range []string{"", "0", "false", "no", "2", "truex", "ye\u017f", "\u0085true"} {
				w.setenv(w.p.RemoteVariable, remote)
				w.setenv(w.p.DescriptorVariable, inheritFile(t, "in descriptor"))
				wantToken(t, w.resolver(compat), "in descriptor")
				wantNoFile(t, w.p.File)
			}
		}},
		{"R7 a failure to write is logged and no more", func(t *testing.T, w *world, compat bool) {
			w.write(filepath.Dir(w.p.File), "a file where the directory should be")
			w.setenv(w.p.RemoteVariable, "1")
			w.setenv(w.p.DescriptorVariable, inheritFile(t, "in descriptor"))
			wantToken(t, w.resolver(compat), "in descriptor")
			w.wantLog(slog.LevelWarn, "could not be written")
		}},
	})
	runRules(t, []bool{true}, []rule{
		{"R5 a pipe without a byte is empty", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			n, pipe := inheritPipe(t, "")
			pipe.Close()
			w.setenv(w.p.DescriptorVariable, n)
			wantToken(t, w.resolver(compat), "")
			w.wantLog(slog.LevelError, "it is empty")
		}},
		{"R5 the null device is empty", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			w.setenv(w.p.DescriptorVariable, inheritPath(t, os.DevNull, os.O_RDONLY))
			wantToken(t, w.resolver(compat), "")
			w.wantLog(slog.LevelError, "it is empty")
		}},
		{"R7 the default path whatever the file variable says", func(t *testing.T, w *world, compat bool) {
			w.fileVariable()
			w.setenv(w.p.RemoteVariable, "1")
			w.setenv(w.p.DescriptorVariable, inheritFile(t, "in descriptor"))
			wantToken(t, w.resolver(compat), "in descriptor")
			wantFile(t, w.p.File, "in descriptor", 0o600)
		}},
	})
	runRules(t, []bool{false}, []rule{
		{"a pipe without a byte was read by another process", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			n, pipe := inheritPipe(t, "")
			pipe.Close()
			w.setenv(w.p.DescriptorVariable, n)
			wantToken(t, w.resolver(compat), "in file")
			w.wantQuiet()
			// The other process may win while this one waits.
			n, pipe = inheritPipe(t, "")
			time.AfterFunc(20*time.Millisecond, func() { pipe.Close() })
			w.setenv(w.p.DescriptorVariable, n)
			wantToken(t, w.resolver(compat), "in file")
		}},
		{"nothing is written when the file variable is set", func(t *testing.T, w *world, compat bool) {
			w.fileVariable()
			w.setenv(w.p.RemoteVariable, "1")
			w.setenv(w.p.DescriptorVariable, inheritFile(t, "in descriptor"))
			wantToken(t, w.resolver(compat), "in descriptor")
			wantNoFile(t, w.p.File)
			wantToken(t, w.resolver(true), "in descriptor") // one read, one write, or none
			wantNoFile(t, w.p.File)
		}},
		{"a token that is not used is not written", func(t *testing.T, w *world, compat bool) {
			old, successor := jwt(`{"iss":"i","sub":"s","exp":1}`), jwt(`{"iss":"i","sub":"s","exp":99999999999}`)
			w.setenv(w.p.TokenVariable, old)
			w.setenv(w.p.DescriptorVariable, inheritFile(t, "another session's?"))
			w.setenv(w.p.RemoteVariable, "1")
			w.write(w.p.File, successor)
			r := w.resolver(compat)
			if got := r.Explain(t.Context()).Winner; got != "file" {
				t.Errorf("Explain says %q wins", got)
			}
			wantToken(t, r, successor)
			wantFile(t, w.p.File, successor, 0o600)
		}},
		{"a written token that is newer stays", func(t *testing.T, w *world, compat bool) {
			old, newer := jwt(`{"iss":"i","sub":"s","exp":99999999998}`), jwt(`{"iss":"i","sub":"s","exp":99999999999}`)
			w.setenv(w.p.RemoteVariable, "1")
			w.write(w.p.File, newer)
			w.setenv(w.p.DescriptorVariable, inheritFile(t, old))
			wantToken(t, w.resolver(compat), old)
			wantFile(t, w.p.File, newer, 0o600)
			w.write(w.p.File, jwt(`{"iss":"i","sub":"another","exp":99999999999}`))
			w.setenv(w.p.DescriptorVariable, inheritFile(t, old))
			wantToken(t, w.resolver(compat), old)
			wantFile(t, w.p.File, old, 0o600)
		}},
		{"a refused token does not make a pipe be read that could not help", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.TokenVariable, "opaque")
			n, _ := inheritPipe(t, "in pipe")
			w.setenv(w.p.DescriptorVariable, n)
			r := w.resolver(compat)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if got, err := r.Renew(ctx, newToken(t, "opaque", "")); !errors.Is(err, ingressauth.ErrNoToken) {
				t.Errorf("Renew: %v, %v", got, err)
			}
			wantToken(t, r, "opaque")
			if got := r.Explain(t.Context()).Sources[1]; !got.Unread || got.Waiting != 7 {
				t.Errorf("the pipe: %+v", got)
			}
		}},
		{"a successor comes before whatever the file variable vouches for", func(t *testing.T, w *world, compat bool) {
			old, successor := jwt(`{"iss":"i","sub":"s","exp":99999999998}`), jwt(`{"iss":"i","sub":"s","exp":99999999999}`)
			w.setenv(w.p.TokenVariable, old)
			w.setenv(w.p.DescriptorVariable, inheritFile(t, "another session's?"))
			w.write(w.fileVariable(), successor)
			if got, err := w.resolver(compat).Renew(t.Context(), newToken(t, old, "")); err != nil || got.Reveal() != successor {
				t.Errorf("Renew: %v, %v", got, err)
			}
		}},
		{"a file that appears after such a pipe is found", func(t *testing.T, w *world, compat bool) {
			n, pipe := inheritPipe(t, "")
			pipe.Close()
			w.setenv(w.p.DescriptorVariable, n)
			r := w.resolver(compat)
			wantToken(t, r, "")
			w.write(w.p.File, "in file")
			eventually(t, r, "in file")
		}},
	})
}

func TestDescriptorsAreChecked(t *testing.T) {
	runRules(t, []bool{false, true}, []rule{
		{"close-on-exec", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			n := inheritFile(t, "in descriptor")
			fd, _ := strconv.Atoi(n)
			unix.CloseOnExec(fd)
			w.setenv(w.p.DescriptorVariable, n)
			wantToken(t, w.resolver(compat), "in file")
			w.wantLog(slog.LevelError, "close-on-exec is set")
			// A program that set it itself names the descriptor.
			r := w.resolver(compat)
			r.Descriptor = fd
			wantToken(t, r, "in descriptor")
		}},
		{"not open for reading", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			r, pipe, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			pipe.WriteString("not for us")
			w.setenv(w.p.DescriptorVariable, inherit(t, pipe))
			wantToken(t, w.resolver(compat), "in file")
			w.wantLog(slog.LevelError, "it is not open for reading")
			buf := make([]byte, 64)
			if n, err := r.Read(buf); err != nil || string(buf[:n]) != "not for us" {
				t.Errorf("the pipe's reader got %q, %v", buf[:n], err)
			}
		}},
		{"devices", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			paths := []string{"/dev/zero"}
			if !compat {
				paths = append(paths, os.DevNull)
			}
			for _, path := range paths {
				w.setenv(w.p.DescriptorVariable, inheritPath(t, path, os.O_RDONLY))
				wantToken(t, w.resolver(compat), "in file")
			}
			w.wantLog(slog.LevelError, "it is a character device")
		}},
	})
}

// inheritPath is a descriptor on what is at path.
func inheritPath(t testing.TB, path string, flags int) string {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	return inherit(t, f)
}

func TestDescriptorIsReadOnce(t *testing.T) {
	w := newWorld(t)
	n, pipe := inheritPipe(t, "")
	w.setenv(w.p.DescriptorVariable, n)
	found := make(chan string)
	for i := range 64 {
		r := w.resolver(i%2 == 0)
		go func() { found <- tokenText(t, r) }()
	}
	pipe.WriteString("in pipe")
	pipe.Close()
	for range 64 {
		if got := <-found; got != "in pipe" {
			t.Errorf("found %q", got)
		}
	}
}

func TestGivingUpChangesNothing(t *testing.T) {
	w := newWorld(t)
	n, pipe := inheritPipe(t, "in ")
	w.setenv(w.p.DescriptorVariable, n)
	r := w.resolver(false)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if got, err := r.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Token: %v, %v", got, err)
		}
		cancel()
	}
	pipe.WriteString("pipe")
	pipe.Close()
	wantToken(t, r, "in pipe")
}

func TestUpdateAndRenewDoNotWaitBehindAPipe(t *testing.T) {
	w := newWorld(t)
	n, pipe := inheritPipe(t, "")
	w.setenv(w.p.DescriptorVariable, n)
	r := w.resolver(false)
	waiting := make(chan string)
	go func() { waiting <- tokenText(t, r) }()
	for report := r.Explain(t.Context()); report.Sources[1].Note != "it is being read"; report = r.Explain(t.Context()) {
		if !report.Undetermined {
			t.Fatalf("the read is over: %+v", report)
		}
		time.Sleep(time.Millisecond)
	}
	t.Cleanup(func() { os.Unsetenv(w.p.TokenVariable) })
	if err := r.Update("updated"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if got, err := r.Renew(ctx, newToken(t, "refused", "")); err != nil || got.Reveal() != "updated" {
		t.Errorf("Renew: %v, %v", got, err)
	}
	pipe.WriteString("in pipe")
	pipe.Close()
	if got := <-waiting; got != "in pipe" && got != "updated" {
		t.Errorf("who waited found %q", got)
	}
}

// askingHandler is a log handler that needs a token itself, as one does that ships
// logs to a service of the session.
type askingHandler struct {
	slog.Handler
	r *ingressauth.Resolver
}

func (h askingHandler) Handle(ctx context.Context, r slog.Record) error {
	h.r.Token(ctx)
	return h.Handler.Handle(ctx, r)
}

func TestLogHandlerMayAskForAToken(t *testing.T) {
	w := newWorld(t)
	w.setenv(w.p.DescriptorVariable, unused())
	w.write(w.p.File, "in file")
	r := w.resolver(false)
	r.Log = slog.New(askingHandler{r.Log.Handler(), r})
	done := make(chan string)
	go func() { done <- tokenText(t, r) }()
	select {
	case got := <-done:
		if got != "in file" {
			t.Errorf("found %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for itself")
	}
	w.wantLog(slog.LevelError, "it is not open")
}

func TestPipeThatStaysOpen(t *testing.T) {
	w := newWorld(t)
	w.write(w.p.File, "in file")
	tests := []struct{ text, want string }{
		{"complete line\n", "complete line"},
		{" \n complete line \nincomplete", "complete line"},
		{"incomplete", "in file"},
		{"\n", "in file"},
		{"", "in file"},
	}
	// All at once, since each takes two seconds.
	var all sync.WaitGroup
	endless, drip := inheritPipe(t, "")
	all.Go(func() {
		for range 300 { // past the two seconds, never with nothing to read for long
			drip.WriteString("x")
			time.Sleep(10 * time.Millisecond)
		}
	})
	all.Go(func() {
		r := w.resolver(false)
		r.Descriptor, _ = strconv.Atoi(endless)
		if got, why := tokenText(t, r), r.Explain(t.Context()).Sources[1].Note; got != "in file" || !strings.Contains(why, "it did not end within 2s") {
			t.Errorf("a pipe that never ends: found %q: %s", got, why)
		}
	})
	for _, tt := range tests {
		n, _ := inheritPipe(t, tt.text)
		r := w.resolver(false)
		r.Descriptor, _ = strconv.Atoi(n)
		all.Go(func() {
			if got := tokenText(t, r); got != tt.want {
				t.Errorf("%q: found %q, want %q", tt.text, got, tt.want)
			}
		})
	}
	all.Wait()
	w.wantLog(slog.LevelError, "it did not end within 2s, and held no complete line")
}
