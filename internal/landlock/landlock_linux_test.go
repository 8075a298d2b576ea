package landlock

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// need skips a test that needs Landlock, except in CI.
func need(t *testing.T) {
	t.Helper()
	if err := Available(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// onThread calls f on a thread of its own, which ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if isFirst() {
			defer runtime.UnlockOSThread()
			onThread(f)
		} else {
			f()
		}
		close(done)
	}()
	<-done
}

// TestRestrictThread has a program inside read nothing of this process, and work otherwise.
// Both kinds of domain are tried, whatever the kernel would be given.
func TestRestrictThread(t *testing.T) {
	need(t)
	t.Setenv("INGRESSAUTH_TEST", "inherited")
	have, err := version()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []int{firstVersion, scopeVersion} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			if v > have {
				t.Skipf("needs version %d of Landlock; the kernel has %d", v, have)
			}
			dir := t.TempDir()
			var lost uint64
			for _, c := range bypasses {
				lost |= 1 << c
			}
			script := fmt.Sprintf(`
				cat /proc/%[1]d/environ >/dev/null 2>&1 && echo read the environment
				head -c 1 /proc/%[1]d/mem 2>&1 | grep -q denied || echo opened the memory
				ls -l /proc/%[1]d/fd/ 2>/dev/null | grep -q -- '->' && echo saw descriptors
				cat /proc/self/environ | tr '\0' '\n' | grep -q ^INGRESSAUTH_TEST= || echo did not see itself
				mkdir %[2]s/a %[2]s/b && echo text >%[2]s/a/f && ln %[2]s/a/f %[2]s/b/g && mv %[2]s/a/f %[2]s/b/f && cat %[2]s/b/f
				for set in Inh Prm Eff; do
					[ $((0x$(sed -n "s/^Cap$set:[[:space:]]*//p" /proc/self/status) & %[3]d)) = 0 ] || echo has capabilities in $set
				done
				grep NoNewPrivs /proc/self/status`, os.Getpid(), dir, lost)
			var out []byte
			onThread(func() {
				if err := restrictThread(v); err != nil {
					t.Error(err)
					return
				}
				out, _ = exec.Command("/bin/sh", "-c", script).CombinedOutput()
			})
			if want := "text\nNoNewPrivs:\t1\n"; string(out) != want {
				t.Errorf("it printed:\n%s", out)
			}
			if links, _ := filepath.Glob(filepath.Join(dir, "b", "*")); len(links) != 2 {
				t.Errorf("there are %q", links)
			}
		})
	}
}

// TestOutside has the other threads of this process as they were.
func TestOutside(t *testing.T) {
	need(t)
	for range 20 { // one of which would be on the first thread
		if err := Do(func() error { return nil }); err != nil {
			t.Error(err)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(status), "NoNewPrivs:\t1") {
		t.Error("the first thread is restricted, or this process was started so")
	}
	out, err := exec.Command("/bin/sh", "-c", fmt.Sprintf("cat /proc/%d/environ >/dev/null && grep NoNewPrivs /proc/self/status", os.Getpid())).CombinedOutput()
	if string(out) != "NoNewPrivs:\t0\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestFirstThread has what is done in a domain done on another thread than the first.
func TestFirstThread(t *testing.T) {
	need(t)
	want := errors.New("it was called")
	for range 20 {
		err := Do(func() error {
			if isFirst() {
				t.Error("it is on the first thread")
			}
			return want
		})
		if err != want {
			t.Error(err)
		}
	}
}

// TestThread has /proc know the thread that is inside, by which its whole process can be read:
// why nothing may run inside while there is such a thread.
func TestThread(t *testing.T) {
	need(t)
	err := Do(func() error {
		return exec.Command("/bin/cat", fmt.Sprintf("/proc/%d/task/%d/environ", os.Getpid(), unix.Gettid())).Run()
	})
	if err != nil {
		t.Errorf("a thread that is inside cannot be read: %v", err)
	}
}

// TestTooMany has the last domain that the kernel allows followed by an error that says so.
func TestTooMany(t *testing.T) {
	need(t)
	onThread(func() {
		for range 20 {
			if err := RestrictThread(); err != nil {
				if !strings.Contains(err.Error(), "start fewer") {
					t.Error(err)
				}
				return
			}
		}
		t.Error("the kernel allows any number")
	})
}
