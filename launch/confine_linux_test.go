package launch_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/ingressauth/ingressauth/internal/landlock"
	"github.com/ingressauth/ingressauth/launch"
	"golang.org/x/sys/unix"
)

// marker is what a launcher has in its environment, its memory and an open file.
const marker = "a-secret-of-the-launcher"

func init() {
	programs["launcher"] = launcher
	programs["reader"] = reader
}

func needLandlock(t *testing.T) {
	t.Helper()
	if err := landlock.Available(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// launcher starts a reader as CONFINE says, and says what that and it itself have seen.
func launcher() {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGWINCH)
	secret := bytes.Repeat([]byte(marker+" "), 10)
	fd, err := unix.MemfdCreate("secret", unix.MFD_CLOEXEC)
	if err == nil {
		_, err = unix.Write(fd, []byte(marker))
	}
	command := exec.Command("/proc/self/exe")
	command.Env = []string{childVariable + "=reader", "GORACE=atexit_sleep_ms=0", "SECRET=",
		fmt.Sprintf("TARGET=%d %d %d", os.Getpid(), uintptr(unsafe.Pointer(&secret[0])), fd)}
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	cmd := launch.Cmd{Command: command, Token: token(nil, "first"), Deliver: []launch.Delivery{launch.Environment}, Confine: os.Getenv("CONFINE") == "1"}
	if err = errors.Join(err, cmd.Start(), cmd.Wait()); err != nil {
		fmt.Println(err)
	}
	runtime.KeepAlive(secret)
	wait := 20 * time.Millisecond
	if !cmd.Confine { // one will come
		wait = 10 * time.Second
	}
	select {
	case <-signals:
		fmt.Println("got a signal")
	case <-time.After(wait):
	}
	if _, inside := restricted(); inside > 0 {
		fmt.Println("threads of the launcher are restricted")
	}
}

// restricted counts the threads of this process, and those which are restricted.
func restricted() (threads, inside int) {
	all, _ := filepath.Glob("/proc/self/task/*/status")
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), "NoNewPrivs:\t1") {
			inside++
		}
	}
	return len(all), inside
}

// reader tries to read all that its launcher has, by each of that one's threads, for a while.
func reader() {
	var pid, address, fd int
	if _, err := fmt.Sscan(os.Getenv("TARGET"), &pid, &address, &fd); err != nil {
		fmt.Println(err)
	}
	seen := make(map[string]bool)
	for begun, first := time.Now(), true; first || time.Since(begun) < 50*time.Millisecond; first = false {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pid))
		for _, dir := range append(tasks, fmt.Sprintf("/proc/%d", pid)) {
			if b, _ := os.ReadFile(dir + "/environ"); bytes.Contains(b, []byte(marker)) {
				seen["environment"] = true
			}
			if b, _ := os.ReadFile(fmt.Sprintf("%s/fd/%d", dir, fd)); bytes.Contains(b, []byte(marker)) {
				seen["file"] = true
			}
			if f, err := os.Open(dir + "/mem"); err == nil {
				b := make([]byte, len(marker))
				if f.ReadAt(b, int64(address)); string(b) == marker {
					seen["memory"] = true
				}
				f.Close()
			}
			if tid, _ := strconv.Atoi(filepath.Base(dir)); unix.Tgkill(pid, tid, unix.SIGWINCH) == nil {
				seen["signal"] = true
			}
		}
		local := []unix.Iovec{{Base: new(byte), Len: 1}}
		if n, _ := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: 1}}, 0); n == 1 {
			seen["vm"] = true
		}
		if unix.Kill(pid, unix.SIGWINCH) == nil {
			seen["signal"] = true
		}
	}
	for what := range seen {
		fmt.Println("read:", what)
	}
	// What has nothing to do with other processes works.
	path := filepath.Join(os.TempDir(), "ingressauth-test-"+strconv.Itoa(os.Getpid()))
	const script = `echo text >"$0"; cat "$0"; mv "$0" "$0.moved"; rm "$0.moved"; sleep 5 & kill $!; wait; cat /proc/self/environ >/dev/null && echo done`
	if out, err := exec.Command("/bin/sh", "-c", script, path).Output(); string(out) != "text\ndone\n" {
		fmt.Printf("a child said %q: %v\n", out, err)
	}
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Remove(path)); err != nil {
		fmt.Println(err)
	}
}

// TestConfine has a child read nothing of its launcher, be it root or another, though without
// Confine the same child reads everything.
func TestConfine(t *testing.T) {
	needLandlock(t)
	users := []int{os.Geteuid()}
	if os.Geteuid() == 0 {
		users = append(users, 65534)
	}
	all := []string{"got a signal", "read: environment", "read: file", "read: memory", "read: signal", "read: vm"}
	for _, uid := range users {
		for confine, want := range map[string][]string{"1": nil, "0": all} {
			t.Run(fmt.Sprintf("uid=%d,confine=%s", uid, confine), func(t *testing.T) {
				t.Parallel()
				cmd := self("launcher")
				cmd.Path = "/proc/self/exe" // which any user may execute, wherever it is
				cmd.Env = append(cmd.Env, "CONFINE="+confine, "SECRET="+marker, "TMPDIR=/tmp")
				if uid != os.Geteuid() {
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
				}
				out, err := cmd.Output()
				if err != nil {
					t.Fatal(err)
				}
				got := strings.Split(strings.TrimSpace(string(out)), "\n")
				slices.Sort(got)
				if text := strings.Join(want, "\n"); strings.Join(got, "\n") != text {
					t.Errorf("it said:\n%s\nwant:\n%s", strings.Join(got, "\n"), text)
				}
			})
		}
	}
}

// TestConfineHolds has no thread of this process inside when the child begins, and the child
// find nothing of how it was started.
func TestConfineHolds(t *testing.T) {
	needLandlock(t)
	for range 50 {
		// A shell that was not held would be faster than the thread that has started it now and then.
		command := exec.Command("/bin/sh", "-c", `cat /proc/$PPID/task/*/environ 2>/dev/null | wc -c; grep -e ^TracerPid -e ^NoNewPrivs /proc/self/status`)
		var out strings.Builder
		command.Stdout = &out
		given := command.SysProcAttr
		cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}, Confine: true}
		if err := errors.Join(cmd.Start(), cmd.Wait()); err != nil {
			t.Fatal(err)
		}
		if want := "0\nTracerPid:\t0\nNoNewPrivs:\t1\n"; out.String() != want || command.SysProcAttr != given {
			t.Fatalf("the child said %q, want %q; %v", out.String(), want, command.SysProcAttr)
		}
	}
	if _, inside := restricted(); inside > 0 {
		t.Errorf("%d threads are inside", inside)
	}
}

// TestConfineEnd has all deliveries, rotations, signals and exit codes as they are without.
func TestConfineEnd(t *testing.T) {
	needLandlock(t)
	for _, d := range []launch.Delivery{launch.Environment, launch.Descriptor, launch.File} {
		t.Run(string(d), func(t *testing.T) {
			runtimeDir(t)
			child := startLooker(t, &launch.Cmd{Token: token(t, "first"), Deliver: []launch.Delivery{d}, Confine: true})
			if got := child.look(t); got != "first" {
				t.Errorf("the child found %q", got)
			}
			if err := child.Rotate(t.Context(), token(t, "second")); err != nil {
				t.Fatal(err)
			}
			child.want(t, "second")
		})
	}
	for script, want := range map[string]int{"exit 7": 7, "kill -TERM $$": -1, "kill -KILL $$": -1} {
		cmd := launch.Cmd{Command: exec.Command("/bin/sh", "-c", script), Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}, Confine: true}
		err := errors.Join(cmd.Start(), cmd.Wait())
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != want {
			t.Errorf("%s: %v", script, err)
		}
	}
	// At once, while it may still be stopped.
	for range 20 {
		cmd := launch.Cmd{Command: exec.Command("/bin/sleep", "100"), Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}, Confine: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cmd.Command.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
			t.Errorf("it was not ended by SIGTERM: %v", err)
		}
	}
}

// TestConfineRefuses has errors where they were, and nothing started for them.
func TestConfineRefuses(t *testing.T) {
	needLandlock(t)
	start := func(command *exec.Cmd) error {
		cmd := launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}, Confine: true}
		return cmd.Start()
	}
	if err := start(exec.Command("/nonexistent")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := start(&exec.Cmd{Path: "/", Args: []string{"/"}}); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	for _, attr := range []*syscall.SysProcAttr{{Pdeathsig: syscall.SIGTERM}, {Ptrace: true}} {
		command := exec.Command("/bin/true")
		command.SysProcAttr = attr
		if err := start(command); err == nil || !strings.Contains(err.Error(), "leave them out") {
			t.Error(err)
		}
	}
}

// TestConfineExec has the program that takes this process's place inside, with no thread left.
// The test binary is started again for that.
func TestConfineExec(t *testing.T) {
	needLandlock(t)
	if target := os.Getenv("INGRESSAUTH_TEST_EXEC_CONFINED"); target != "" {
		cmd := launch.Cmd{Command: exec.Command("/bin/sh", "-c", `echo $$ $CLAUDE_CODE_SESSION_ACCESS_TOKEN; cat /proc/$0/environ 2>/dev/null | wc -c; ls /proc/self/task | wc -l; grep ^NoNewPrivs /proc/self/status`, target),
			Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}, Confine: true}
		missing := launch.Cmd{Command: exec.Command("/nonexistent"), Token: cmd.Token, Deliver: cmd.Deliver, Confine: true}
		if err := missing.Exec(); !errors.Is(err, fs.ErrNotExist) {
			fmt.Println(err)
		}
		fmt.Println(cmd.Exec())
		os.Exit(1)
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-test.run=^TestConfineExec$")
	cmd.Env = append(clean(os.Environ()), fmt.Sprintf("INGRESSAUTH_TEST_EXEC_CONFINED=%d", os.Getpid()), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := fmt.Sprintf("%d first\n0\n1\nNoNewPrivs:\t1\n", cmd.Process.Pid); string(out) != want {
		t.Errorf("it said %q, want %q", out, want)
	}
}

// TestConfineUser has a child of another user read nothing of that user's other processes, though
// without Confine it does. It can only be tried as root.
func TestConfineUser(t *testing.T) {
	needLandlock(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to start another user's processes")
	}
	attr := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	other := exec.Command("/bin/sh", "-c", "echo; read wait")
	other.Env, other.Dir, other.SysProcAttr = []string{"SECRET=" + marker}, "/", attr
	out, err := other.StdoutPipe()
	in, e := other.StdinPipe()
	if err = errors.Join(err, e); err == nil {
		err = other.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer in.Close()
	out.Read(make([]byte, 1)) // by now it has its environment
	for confine, want := range map[bool]string{true: "65534\n", false: "65534\nSECRET=" + marker + "\x00"} {
		command := exec.Command("/bin/sh", "-c", fmt.Sprintf("id -u; cat /proc/%d/environ 2>/dev/null; :", other.Process.Pid))
		command.Dir, command.SysProcAttr = "/", attr
		var got strings.Builder
		command.Stdout = &got
		cmd := launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}, Confine: confine}
		if err := errors.Join(cmd.Start(), cmd.Wait()); err != nil {
			t.Error(err)
		}
		if got := strings.ReplaceAll(got.String(), "PWD=/\x00", ""); got != want {
			t.Errorf("confined %v: it said %q, want %q", confine, got, want)
		}
	}
}
