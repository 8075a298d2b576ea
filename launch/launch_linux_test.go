package launch_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/launch"
	"golang.org/x/sys/unix"
)

// TestParentDies has the child die with the process that started it.
func TestParentDies(t *testing.T) {
	runtimeDir(t)
	parent := self("parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	parent.Process.Kill()
	parent.Wait()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(child), "status"))
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return
		}
		if time.Now().After(deadline) {
			syscall.Kill(child, syscall.SIGKILL)
			t.Fatal("the child is alive")
		}
	}
}

// TestThreadsEnd has children outlive the threads that called Start and all others that end,
// which the kernel would take for their parent's death.
func TestThreadsEnd(t *testing.T) {
	var children []*launch.Cmd
	for range 20 {
		cmd := &launch.Cmd{Command: exec.Command("/bin/sleep", "0.5"), Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}}
		started := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			started <- cmd.Start()
		}()
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		children = append(children, cmd)
	}
	var ended sync.WaitGroup
	for range 200 {
		ended.Add(1)
		go func() {
			runtime.LockOSThread()
			time.Sleep(time.Millisecond) // so that each has a thread of its own
			ended.Done()
		}()
	}
	ended.Wait()
	for _, cmd := range children {
		if err := cmd.Wait(); err != nil {
			t.Errorf("a child did not live to its end: %v", err)
		}
	}
}

// TestOwnSignal has a caller's signal in place of SIGKILL, and the caller's attributes
// where they were.
func TestOwnSignal(t *testing.T) {
	command := exec.Command("/bin/true")
	attr := &syscall.SysProcAttr{Setpgid: true}
	command.SysProcAttr = attr
	cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Environment}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if attr.Pdeathsig != 0 || command.SysProcAttr.Pdeathsig != syscall.SIGKILL || !command.SysProcAttr.Setpgid {
		t.Errorf("caller's %+v, child's %+v", attr, command.SysProcAttr)
	}
}

// TestMemfd has a descriptor that nobody can change, and anybody who inherits it can read
// again.
func TestMemfd(t *testing.T) {
	command := exec.Command("/bin/sh", "-c", `
		N=$CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR
		cat /proc/self/fd/$N; cat /proc/self/fd/$N; eval "cat <&$N"; cat /proc/self/fd/$N
		printf no 2>/dev/null >/proc/self/fd/$N && echo written
		:`)
	cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.Descriptor}}
	var out strings.Builder
	command.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if out.String() != "firstfirstfirstfirst" {
		t.Errorf("%q", out.String())
	}
}

// TestFullDisk has a file that cannot be written said, and the old one stand.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=16k,mode=700"); err != nil {
		t.Skip("needs the right to mount: ", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	cmd := &launch.Cmd{Command: self("sleep"), Token: token(t, "first"), Deliver: []launch.Delivery{launch.File}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk has room")
	}
	if err := cmd.Rotate(t.Context(), token(t, "second")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Rotate: %v", err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "*", "*"))
	text, _ := os.ReadFile(files[0])
	if len(files) != 1 || string(text) != "first" {
		t.Errorf("there are %q, with %q", files, text)
	}
	late := launch.Cmd{Command: exec.Command("/bin/true"), Token: token(t, "first"), Deliver: []launch.Delivery{launch.File}}
	if err := late.Start(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Start: %v", err)
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "session-*")); len(all) != 1 {
		t.Errorf("there are %q", all)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// TestStolenStatus has Wait take the token away also where another part of the program has
// waited for the child.
func TestStolenStatus(t *testing.T) {
	dir := runtimeDir(t)
	cmd := &launch.Cmd{Command: exec.Command("/bin/true"), Token: token(t, "first"), Deliver: []launch.Delivery{launch.File}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(cmd.Command.Process.Pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("Wait succeeded")
	}
	// A Process that nobody has waited for holds a descriptor until it is collected, which
	// would be amid a test that counts them.
	cmd.Command.Process.Release()
	if left, _ := filepath.Glob(filepath.Join(dir, "ingressauth", "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestOthersRuntimeDir has a runtime directory of another user, as under sudo, not used.
func TestOthersRuntimeDir(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a directory away")
	}
	dir := runtimeDir(t)
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	var out strings.Builder
	command := exec.Command("/bin/sh", "-c", `echo "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"`)
	command.Stdout = &out
	cmd := &launch.Cmd{Command: command, Token: token(t, "first"), Deliver: []launch.Delivery{launch.File}}
	if err := errors.Join(cmd.Start(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(out.String(), dir) || out.Len() < 10 {
		t.Errorf("the file is %s", out.String())
	}
}
