//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth/internal/proctree"
	"golang.org/x/sys/unix"
)

// family starts a descendant that has left the session and ignores what it can, one that
// has not, and children of its own without end.
const family = `trap "" TERM HUP
(setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.01; done' &)
sh -c 'while :; do sleep 0.01; done' &
while :; do sleep 0.01; done`

// TestRunKilled kills run, its supervisor, the child and one of its descendants at random
// moments, the start included. Nothing of the tree is left, in a control group or without
// one, no zombie, and no token file.
func TestRunKilled(t *testing.T) {
	const kills = 200
	before := zombies()
	users := slices.Collect(maps.Values(users()))
	for i := range kills {
		victim := []string{"run", "supervisor", "child", "descendant"}[i%4]
		user := users[i/4%len(users)]
		delay := time.Duration(rand.IntN(30_000)) * time.Microsecond
		t.Run(fmt.Sprintf("%d %s after %v", i, victim, delay), func(t *testing.T) {
			w := newRunWorld(t)
			w.giveTo(user)
			marker := fmt.Sprintf("KILLED=%d-%d", os.Getpid(), i)
			w.set(marker)
			t.Cleanup(func() { // of what should not be there
				for _, pid := range marked(marker) {
					args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
					t.Logf("process %d, whose parent is %d: %q", pid, proctree.Parent(pid), args)
					unix.Kill(pid, unix.SIGKILL)
				}
			})
			script := family
			if victim == "child" || victim == "descendant" { // they get a grace then
				script = strings.ReplaceAll(script, `trap "" TERM HUP`, ":")
			}
			cmd := w.run("--deliver", "env,fd,file", "--", "sh", "-c", script)
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
			var errs bytes.Buffer
			cmd.Stderr = &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(delay)
			ofRun := kill(t, cmd.Process.Pid, victim, marker)
			// The child does not notice a descendant's end.
			if victim == "descendant" {
				time.Sleep(20 * time.Millisecond)
				victim = "child"
				ofRun = kill(t, cmd.Process.Pid, victim, marker) || ofRun
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				cmd.Wait()
			}()
			for waiting := true; waiting; {
				select {
				case <-ended:
					waiting = false
				case <-time.After(10 * time.Second):
					// It was a process that os starts for a moment, to see what the kernel can do.
					ofRun = kill(t, cmd.Process.Pid, victim, marker) || ofRun
				}
			}
			// If it was run that was killed, its supervisor needs a moment more.
			eventually(t, "nothing is left of the tree", func() bool { return len(marked(marker)) == 0 && (!ofRun || len(w.left()) == 0) })
			filepath.WalkDir(w.runtime, func(path string, d fs.DirEntry, err error) error {
				if info, e := os.Lstat(path); e == nil && path != w.runtime && info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s has mode %v", path, info.Mode())
				}
				return nil
			})
			if left := w.left(); len(left) > 0 {
				t.Errorf("left: %q (%s)", left, errs.String())
			}
		})
	}
	eventually(t, "no zombie is left", func() bool {
		for pid := range zombies() {
			if _, old := before[pid]; !old {
				return false
			}
		}
		return true
	})
	if left := groups(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// users are whom run is started as: this one, and, for root, one to whom no control group
// is delegated.
func users() map[string]*syscall.Credential {
	users := map[string]*syscall.Credential{"this user": nil}
	if os.Geteuid() == 0 {
		users["another user"] = &syscall.Credential{Uid: 12345, Gid: 12345}
	}
	return users
}

// giveTo makes a runtime directory that is this user's, as the test's own is not.
func (w *runWorld) giveTo(user *syscall.Credential) {
	if user == nil {
		return
	}
	dir, err := os.MkdirTemp("", "ingressauth-user-")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
		w.t.Fatal(err)
	}
	w.runtime = dir
	w.set("XDG_RUNTIME_DIR=" + dir)
}

// kill kills a process of the tree, if it is there by now, and run if not. It reports whether
// it was run.
func kill(t *testing.T, run int, victim, marker string) bool {
	// Who is whose is looked at once, after what is looked at: of two looks, the second would take a
	// supervisor that was started meanwhile for a descendant.
	of := slices.Sorted(slices.Values(marked(marker)))
	parents := make(map[int]int)
	for _, pid := range of {
		parents[pid] = proctree.Parent(pid)
	}
	var supervisor, child, descendants []int
	for _, pid := range of {
		switch parent := parents[pid]; {
		case pid == run, parent == 0: // or it has ended
		case parent == run:
			supervisor = append(supervisor, pid)
		case parents[parent] == run && child == nil:
			child = append(child, pid) // the others were orphans
		default:
			descendants = append(descendants, pid)
		}
	}
	from := map[string][]int{"run": {run}, "supervisor": supervisor, "child": child, "descendant": descendants}[victim]
	if len(from) == 0 {
		from = []int{run}
	}
	pid := from[rand.IntN(len(from))]
	unix.Kill(pid, unix.SIGKILL)
	return pid == run
}

func childrenOf(pid int) (children []int) {
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	for _, field := range strings.Fields(string(out)) {
		child, _ := strconv.Atoi(field)
		children = append(children, child)
	}
	return children
}

// zombies returns the processes that have ended and that nobody has waited for, of those that may
// have been left by what was started here: a process above has adopted them. Others start
// processes meanwhile, too.
func zombies() map[int]bool {
	above := map[int]bool{1: true}
	for pid := os.Getpid(); pid > 0; pid = proctree.Parent(pid) {
		above[pid] = true
	}
	found := make(map[int]bool)
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		if pid, _ := strconv.Atoi(filepath.Base(path)); state(pid) == "Z" && above[proctree.Parent(pid)] {
			found[pid] = true
		}
	}
	return found
}

// TestRunKilledBoth kills both of run's processes at once, against which nothing helps but
// a control group, which the next run ends: the child dies with them, and its descendants
// do not. That is what the documentation says.
func TestRunKilledBoth(t *testing.T) {
	w := newRunWorld(t)
	marker := fmt.Sprintf("KILLED=%d-both", os.Getpid())
	w.set(marker)
	r := w.start("--", "sh", "-c", "(setsid sleep 100 &); echo $$; sleep 100")
	child, err := strconv.Atoi(r.line())
	if err != nil {
		t.Fatal(err)
	}
	grouped := len(groups()) > 0
	supervisor := childrenOf(r.Process.Pid)
	unix.Kill(r.Process.Pid, unix.SIGSTOP) // or it would be faster
	unix.Kill(supervisor[0], unix.SIGKILL)
	unix.Kill(r.Process.Pid, unix.SIGKILL)
	r.Wait()
	eventually(t, "the child dies", func() bool { s := state(child); return s == "" || s == "Z" })
	time.Sleep(100 * time.Millisecond)
	if left := marked(marker); len(left) == 0 && !grouped { // else another run on this machine may have begun since
		t.Error("nothing is left: the documentation says too little")
	}
	w.output(w.run("--", "true"))
	if left := w.left(); len(left) > 0 {
		t.Errorf("left by the next run: %q", left)
	}
	if grouped {
		eventually(t, "the next run ends the group", func() bool { return len(marked(marker)) == 0 })
	}
	for _, pid := range marked(marker) {
		unix.Kill(pid, unix.SIGKILL)
	}
}

// grouped reports whether a run here has a control group.
func grouped(t *testing.T) bool {
	r := newRunWorld(t).start("--", "cat")
	defer r.end()
	defer r.in.Close()
	fmt.Fprintln(r.in, "x")
	r.line()
	return len(groups()) > 0
}

// groups are the control groups that runs have now.
func groups() []string {
	groups, _ := filepath.Glob("/sys/fs/cgroup/ingressauth-*")
	more, _ := filepath.Glob("/sys/fs/cgroup/*/ingressauth-*")
	return append(groups, more...)
}

// TestRunKilledGroup has a SIGKILL for the process group that run was started in, as some
// runners end a session, end the tree.
func TestRunKilledGroup(t *testing.T) {
	w := newRunWorld(t)
	marker := fmt.Sprintf("KILLED=%d-group", os.Getpid())
	w.set(marker)
	cmd := w.run("--", "sh", "-c", family)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "run has stepped aside", func() bool {
		group, err := unix.Getpgid(cmd.Process.Pid)
		return err == nil && group != cmd.Process.Pid && len(marked(marker)) > 4
	})
	started := time.Now()
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 137 || len(marked(marker)) > 0 || len(w.left()) > 0 {
		t.Errorf("exit code %d; left: %v, %v, after %v", code, marked(marker), w.left(), time.Since(started))
	}
}

// TestRunKilledLeader is the same for run as the leader of a session, which cannot leave its
// group.
func TestRunKilledLeader(t *testing.T) {
	w := newRunWorld(t)
	marker := fmt.Sprintf("KILLED=%d-leader", os.Getpid())
	w.set(marker)
	cmd := w.run("--", "sh", "-c", family)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is a family", func() bool { return len(marked(marker)) > 4 })
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	cmd.Wait()
	eventually(t, "all end", func() bool { return len(marked(marker)) == 0 && len(w.left()) == 0 })
}

// TestRunThreads has a descendant end whose first thread has ended, so that it looks like a
// zombie.
func TestRunThreads(t *testing.T) {
	need(t, "python3")
	w := newRunWorld(t)
	marker := fmt.Sprintf("KILLED=%d-threads", os.Getpid())
	w.set(marker)
	r := w.start("--", "/usr/bin/python3", "-c", `
import ctypes, os, threading, time
if os.fork() == 0:
    os.setsid()
    threading.Thread(target=lambda: time.sleep(60)).start()
    ctypes.CDLL(None).syscall(60, 0) # exit(2), of this thread alone
print("ready", flush=True)
time.sleep(0.2)
`)
	r.line()
	if _, code := r.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := marked(marker); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestRunFirst has run be the first process of a PID namespace, as in a container, whether
// it leads its session or not, with its own /proc or another one.
func TestRunFirst(t *testing.T) {
	need(t, "unshare")
	if err := exec.Command("unshare", "-p", "-f", "true").Run(); err != nil {
		t.Skip("needs the right to make a PID namespace: ", err)
	}
	for _, test := range []struct {
		args []string
		want int
	}{
		{[]string{"-p", "-f", "--mount-proc", "ingressauth"}, 7},
		{[]string{"-p", "-f", "--mount-proc", "setsid", "ingressauth"}, 7},
		{[]string{"-p", "-f", "ingressauth"}, 125}, // with another namespace's /proc, of which our own process is not part
	} {
		w := newRunWorld(t)
		marker := fmt.Sprintf("KILLED=%d-first", os.Getpid())
		w.set(marker)
		cmd := exec.Command("unshare", append(test.args, "run", "--", "sh", "-c", "(setsid sleep 100 &); exit 7")...)
		cmd.Env = w.environ
		timeout := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		if out, errs, code := w.output(cmd); out != "" || code != test.want {
			t.Errorf("%v: %q %q %d", test.args, out, errs, code)
		}
		timeout.Stop()
		eventually(t, "all end", func() bool { return len(marked(marker)) == 0 })
	}
}

// TestRunForks has a child end that makes processes faster than they can be looked at. In a
// control group they have no chance; without one they have a small one, and then that is
// said.
func TestRunForks(t *testing.T) {
	need(t, "python3")
	for name, user := range users() {
		t.Run(name, func(t *testing.T) {
			w := newRunWorld(t)
			w.giveTo(user)
			marker := fmt.Sprintf("KILLED=%d-forks", os.Getpid())
			w.set(marker)
			events := filepath.Join(w.runtime, "events")
			// Each lives for a moment and leaves another one behind: there are never more than
			// a few, and none in half a minute.
			cmd := w.run("--events", events, "--", "/usr/bin/python3", "-c", `
import os, time
until = time.time() + 30
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        while time.time() < until:
            if os.fork() != 0:
                os._exit(0)
        os._exit(0)
os._exit(5)
`)
			cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: user}
			if out, errs, code := w.output(cmd); code != 5 || errs != "" {
				t.Errorf("%q %q %d", out, errs, code)
			}
			if left := marked(marker); len(left) > 0 {
				all := readEvents(t, events)
				said := slices.ContainsFunc(all, func(e map[string]any) bool { return e["event"] == "failure" })
				if user == nil && grouped(t) || !said {
					t.Errorf("left: %v, after %v", left, all)
				}
			}
		})
	}
}

// TestRunReaps has orphans waited for while the child runs.
func TestRunReaps(t *testing.T) {
	w := newRunWorld(t)
	r := w.start("--", "sh", "-c", `for i in $(seq 200); do (setsid true &); done
		for i in $(seq 400); do [ $(ps -o pid= --ppid $PPID | wc -l) = 1 ] && break; sleep 0.05; done
		ps -o pid= --ppid $PPID | wc -l; exit 7`)
	// The child is left. An orphan that ends late is waited for late.
	if left := r.line(); left != "1" {
		t.Errorf("%s children", left)
	}
	if _, code := r.end(); code != 7 {
		t.Errorf("exit code %d", code)
	}
}
