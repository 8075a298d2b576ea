package exposure

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ingressauth/ingressauth/internal/proctree"
)

// start starts a process with a token in its environment, and a child of it without, as this
// user, and returns their numbers.
func start(t testing.TB, uid int, depth int) (parent, child int) {
	t.Helper()
	script := `env -u HELD -u SHORT /bin/sh -c 'echo $$; exec sleep 100' & wait`
	for range depth {
		script = "/bin/sh -c '" + strings.ReplaceAll(script, "'", `'\''`) + "'; true"
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HELD=Bearer " + secret, "SHORT=" + secret[:8], "EMPTY="}
	// A group of their own, to end them all by.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if uid != os.Geteuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err = strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, child
}

// canRead reports whether a user can really read an environment.
func canRead(t *testing.T, uid, pid int) bool {
	t.Helper()
	cmd := exec.Command("/bin/cat", fmt.Sprintf("/proc/%d/environ", pid))
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, _ := cmd.Output()
	return strings.Contains(string(out), secret)
}

// TestAncestors compares what is found with what a process of that user can read.
func TestAncestors(t *testing.T) {
	me := os.Geteuid()
	owners, readers := []int{me}, []int{me}
	if me == 0 {
		owners, readers = []int{0, 65534}, []int{0, 65534, stranger}
	}
	for _, owner := range owners {
		parent, child := start(t, owner, 0)
		for _, reader := range readers {
			o := Options{Texts: []string{secret}, UID: reader, Groups: []int{reader}, From: child}
			var got []Finding
			for _, f := range Find(o) {
				if f.Kind == Environment {
					got = append(got, f)
				}
			}
			if want := canRead(t, reader, parent); want != (len(got) == 1) {
				t.Errorf("of user %d, by user %d: found %v, and it can be read: %v", owner, reader, got, want)
			}
			if len(got) == 1 {
				if f := got[0]; f.PID != parent || f.Name != "sh" || f.Variable != "HELD" || strings.Contains(f.String(), secret) {
					t.Errorf("%+v: %s", f, f)
				}
			}
			o.Confined = true
			if got := Find(o); got != nil {
				t.Errorf("confined: %v", got)
			}
		}
	}
}

// TestNotDumpable has a process that the kernel keeps from its own user not found: one whose
// program that user may execute and not read.
func TestNotDumpable(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to start another user's process")
	}
	dir, err := os.MkdirTemp("", "exposure")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile("/bin/sleep")
	path := filepath.Join(dir, "sleep")
	if err = errors.Join(err, os.WriteFile(path, program, 0o711), os.Chmod(path, 0o711), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]int{0o711: 0, 0o755: 1} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, "100")
		cmd.Args[0] = "sleep" // whatever one program is made of many
		cmd.Env = []string{"HELD=" + secret}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for path := fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid); ; { // it is there a moment after the start
			if b, err := os.ReadFile(path); err != nil || len(b) > 0 {
				break
			}
		}
		got := Find(Options{Texts: []string{secret}, UID: 65534, From: cmd.Process.Pid})
		if readable := canRead(t, 65534, cmd.Process.Pid); len(got) != want || readable != (want == 1) {
			t.Errorf("mode %v: found %v, and it can be read: %v", mode, got, readable)
		}
		cmd.Process.Kill()
		cmd.Wait()
	}
}

// BenchmarkFind is at every start of a run.
func BenchmarkFind(b *testing.B) {
	_, child := start(b, os.Geteuid(), 4)
	o := Options{Texts: []string{strings.Repeat("no such token", 80)}, UID: os.Geteuid(), From: child, Files: []string{"/etc/passwd"}}
	ancestors := 0
	for pid := child; pid > 0; pid = proctree.Parent(pid) {
		ancestors++
	}
	for b.Loop() {
		Find(o)
	}
	b.ReportMetric(float64(ancestors), "ancestors")
}
