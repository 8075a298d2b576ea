package ingressauth_test

import (
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDescriptorsAreCheckedOnLinux(t *testing.T) {
	runRules(t, []bool{false, true}, []rule{
		{"a memfd is read", func(t *testing.T, w *world, compat bool) {
			w.setenv(w.p.DescriptorVariable, inheritMemfd(t, "in memfd\n"))
			wantToken(t, w.resolver(compat), "in memfd")
		}},
		{"no other anonymous descriptor is", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			for name, open := range map[string]func() (int, error){
				"eventfd":  func() (int, error) { return unix.Eventfd(3, 0) },
				"epoll":    func() (int, error) { return unix.EpollCreate1(0) },
				"timerfd":  func() (int, error) { return unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0) },
				"pidfd":    func() (int, error) { return unix.PidfdOpen(os.Getpid(), 0) },
				"inotify":  func() (int, error) { return unix.InotifyInit1(unix.IN_NONBLOCK) },
				"O_PATH":   func() (int, error) { return unix.Open(w.p.File, unix.O_PATH, 0) },
				"mount ns": func() (int, error) { return unix.Open("/proc/self/ns/mnt", unix.O_RDONLY, 0) },
			} {
				fd, err := open()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				w.setenv(w.p.DescriptorVariable, inherit(t, os.NewFile(uintptr(fd), name)))
				if got := tokenText(t, w.resolver(compat)); got != "in file" {
					t.Errorf("%s: found %q", name, got)
				}
			}
		}},
		{"no file of the kernel's is", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			for _, path := range []string{"/proc/self/cmdline", "/proc/self/cgroup", "/sys/kernel/mm/transparent_hugepage/enabled"} {
				if _, err := os.Stat(path); err != nil && strings.HasPrefix(path, "/sys") {
					continue // no sysfs
				}
				w.setenv(w.p.DescriptorVariable, inheritPath(t, path, os.O_RDONLY))
				wantToken(t, w.resolver(compat), "in file")
			}
			w.wantLog(slog.LevelError, "file system of the kernel's own")
		}},
		{"a socket has no path", func(t *testing.T, w *world, compat bool) {
			w.write(w.p.File, "in file")
			n, peer := inheritSocket(t)
			peer.WriteString("in socket\n")
			peer.Close()
			w.setenv(w.p.DescriptorVariable, n)
			explained := w.resolver(compat).Explain(t.Context())
			if compat {
				if explained.Winner != "file" {
					t.Errorf("Explain: %+v", explained)
				}
				wantToken(t, w.resolver(compat), "in file")
				w.wantLog(slog.LevelError, "its path cannot be reopened")
				return
			}
			if s := explained.Sources[1]; !explained.Undetermined || s.Waiting != 10 || s.Note != "unread socket" {
				t.Errorf("Explain: %+v", explained)
			}
			wantToken(t, w.resolver(compat), "in socket")
			wantToken(t, w.resolver(true), "in file")
			if got := w.resolver(true).Explain(t.Context()).Winner; got != "file" {
				t.Errorf("once it is read, Explain says %q wins under compat", got)
			}
			// One that is open and empty, and one at its end.
			n, peer = inheritSocket(t)
			w.setenv(w.p.DescriptorVariable, n)
			if got := w.resolver(false).Explain(t.Context()); !got.Undetermined || got.Sources[1].Waiting != 0 {
				t.Errorf("an open socket: %+v", got)
			}
			peer.Close()
			if got := w.resolver(false).Explain(t.Context()); got.Winner != "file" {
				t.Errorf("a socket at its end: %+v", got)
			}
		}},
		{"a pipe whose path may not be reopened", func(t *testing.T, w *world, compat bool) {
			need(t, os.Geteuid() == 0, "root")
			w.write(w.p.File, "in file")
			n, pipe := inheritPipe(t, "in pipe")
			time.AfterFunc(30*time.Millisecond, func() { pipe.Close() })
			w.setenv(w.p.DescriptorVariable, n)
			r := w.resolver(compat)
			r.Profile.FileVariable = "NONE"
			r.Profile.File = "/nonexistent/file"
			// As after a change of user: root made the pipe.
			done := make(chan string)
			go func() {
				runtime.LockOSThread() // and never back: the thread is spoilt
				if err := unix.Setfsuid(65534); err != nil {
					t.Error(err)
				}
				done <- tokenText(t, r)
			}()
			if got, want := <-done, map[bool]string{false: "in pipe", true: ""}[compat]; got != want {
				t.Errorf("found %q, want %q", got, want)
			}
		}},
	})
}

func inheritMemfd(t testing.TB, text string) string {
	t.Helper()
	fd, err := unix.MemfdCreate("token", 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return inherit(t, f)
}

// inheritSocket is a descriptor on a Unix stream socket, and its peer.
func inheritSocket(t testing.TB) (number string, peer *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer = os.NewFile(uintptr(pair[1]), "peer")
	t.Cleanup(func() { peer.Close() })
	return inherit(t, os.NewFile(uintptr(pair[0]), "socket")), peer
}

// TestNothingLeaks reads from many pipes and sockets whose writers stay. When the
// reads have given up, no descriptor, goroutine or thread is left of them.
func TestNothingLeaks(t *testing.T) {
	w := newWorld(t)
	w.write(w.p.File, "in file")
	os.ReadFile("/proc/self/status") // the runtime's poller takes two descriptors, for good
	const readers = 30
	numbers := make([]string, 0, 2*readers)
	for range readers {
		pipe, _ := inheritPipe(t, "incomplete")
		socket, _ := inheritSocket(t)
		numbers = append(numbers, pipe, socket)
	}
	descriptors, goroutines, threads := countDescriptors(t), runtime.NumGoroutine(), countThreads(t)
	done := make(chan string)
	for _, n := range numbers {
		r := w.resolver(false)
		r.Descriptor, _ = strconv.Atoi(n)
		go func() { done <- tokenText(t, r) }()
	}
	for range numbers {
		if got := <-done; got != "in file" {
			t.Errorf("found %q", got)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines are left, of %d", n, goroutines)
	}
	if n := countDescriptors(t); n != descriptors {
		t.Errorf("%d descriptors are open, and there were %d", n, descriptors)
	}
	// The runtime starts a few threads of its own as it pleases. A read that
	// waited in the kernel would have started one for each reader.
	if n := countThreads(t); n > threads+readers/3 {
		t.Errorf("%d threads are left, of %d", n, threads)
	}
}

func countDescriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func countThreads(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
