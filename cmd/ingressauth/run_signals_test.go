//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// running is a run under way.
type running struct {
	*exec.Cmd
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Reader
}

func (w *runWorld) start(args ...string) *running {
	w.t.Helper()
	return w.startCmd(w.run(args...))
}

// startControlled starts run in a group of its own, as a shell that controls jobs does.
func (w *runWorld) startControlled(args ...string) *running {
	w.t.Helper()
	cmd := w.run(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return w.startCmd(cmd)
}

func (w *runWorld) startCmd(cmd *exec.Cmd) *running {
	w.t.Helper()
	r := &running{Cmd: cmd, t: w.t}
	var err error
	if r.in, err = r.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	out, err := r.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	r.out, r.Stderr = bufio.NewReader(out), os.Stderr
	if err := r.Start(); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// line returns the next line of output.
func (r *running) line() string {
	r.t.Helper()
	line, err := r.out.ReadString('\n')
	if err != nil {
		r.t.Fatalf("%q %v", line, err)
	}
	return strings.TrimSpace(line)
}

// end waits for the end, and returns the rest of the output and the exit code.
func (r *running) end() (string, int) {
	rest, _ := io.ReadAll(r.out)
	r.Wait()
	return string(rest), r.ProcessState.ExitCode()
}

// state returns the letter of a process's state, or "" if there is none.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return fields[0]
}

// TestRunSignals has each signal reach the child once, whether it is sent to run or, as a
// terminal does, to its process group.
func TestRunSignals(t *testing.T) {
	for name, number := range map[string]syscall.Signal{"INT": unix.SIGINT, "TERM": unix.SIGTERM, "HUP": unix.SIGHUP,
		"QUIT": unix.SIGQUIT, "USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2, "WINCH": unix.SIGWINCH} {
		for _, group := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, group %v", name, group), func(t *testing.T) {
				t.Parallel()
				w := newRunWorld(t)
				r := w.run("--", "bash", "-c", fmt.Sprintf(`n=0; trap 'n=$((n+1)); echo got' %s; echo $PPID; while read -t 0.05 x || [ $? -gt 128 ]; do :; done; exit $n`, name))
				r.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
				in, _ := r.StdinPipe()
				out, _ := r.StdoutPipe()
				if err := r.Start(); err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewReader(out)
				lines.ReadString('\n')
				to := r.Process.Pid
				if group {
					// Until both have stepped aside they are in the group, too.
					eventually(t, "run steps aside", func() bool {
						g, err := unix.Getpgid(r.Process.Pid)
						return err == nil && g != r.Process.Pid
					})
					to = -to
				}
				if err := unix.Kill(to, number); err != nil {
					t.Fatal(err)
				}
				if line, err := lines.ReadString('\n'); line != "got\n" {
					t.Errorf("%q %v", line, err)
				}
				time.Sleep(50 * time.Millisecond) // for one that should not come
				in.Close()
				r.Wait()
				if code := r.ProcessState.ExitCode(); code != 1 {
					t.Errorf("the child got it %d times", code)
				}
			})
		}
	}
}

// TestRunSignalledEarly has a signal that comes while run starts have the effect that it
// would have without us: the command does not start, or gets it.
func TestRunSignalledEarly(t *testing.T) {
	for i := range 60 {
		w := newRunWorld(t)
		cmd := w.run("--", "sleep", "100")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 250 * time.Microsecond)
		cmd.Process.Signal(unix.SIGTERM)
		cmd.Wait()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !(status.Signaled() && status.Signal() == unix.SIGTERM || status.ExitStatus() == 143) || errs.Len() > 0 {
			t.Errorf("after %d/4 ms: %v %q", i, cmd.ProcessState, errs.String())
		}
		if left := w.left(); len(left) > 0 && !status.Signaled() {
			t.Errorf("left: %q", left)
		}
	}
}

// TestRunIgnored has a signal that was ignored stay so.
func TestRunIgnored(t *testing.T) {
	w := newRunWorld(t)
	cmd := exec.Command("nohup", "ingressauth", "run", "--", "sh", "-c", "kill -HUP $$; kill -HUP $PPID; sleep 0.1; grep SigIgn /proc/self/status")
	cmd.Env = w.environ
	cmd.Path = "/usr/bin/nohup"
	out, _, code := w.output(cmd)
	_, mask, _ := strings.Cut(strings.TrimSpace(out), "\t")
	if n, err := strconv.ParseUint(mask, 16, 64); code != 0 || err != nil || n&1 == 0 {
		t.Errorf("%q %d", out, code)
	}
}

// TestRunStops has run be stopped when its child is, and continue with it, whoever it was.
func TestRunStops(t *testing.T) {
	w := newRunWorld(t)
	r := w.startControlled("--", "bash", "-c", `trap 'echo continued' CONT; echo $$; while read -t 0.05 x || [ $? -gt 128 ]; do :; done`)
	child, err := strconv.Atoi(r.line())
	if err != nil {
		t.Fatal(err)
	}
	both := func(want string) func() bool {
		return func() bool {
			return (state(r.Process.Pid) == "T") == (want == "T") && (state(child) == "T") == (want == "T")
		}
	}
	for _, target := range []int{r.Process.Pid, child} {
		unix.Kill(target, unix.SIGTSTP)
		eventually(t, "both stop", both("T"))
		unix.Kill(target, unix.SIGCONT)
		eventually(t, "both continue", both("S"))
		if line := r.line(); line != "continued" {
			t.Errorf("%q", line)
		}
	}
	time.Sleep(50 * time.Millisecond)
	r.in.Close()
	if rest, code := r.end(); rest != "" || code != 0 {
		t.Errorf("%q %d", rest, code)
	}
}

// TestRunStopped has run end with a child that is killed while it is stopped.
func TestRunStopped(t *testing.T) {
	w := newRunWorld(t)
	r := w.startControlled("--", "sh", "-c", "echo $$; sleep 100")
	child, err := strconv.Atoi(r.line())
	if err != nil {
		t.Fatal(err)
	}
	unix.Kill(child, unix.SIGTSTP)
	eventually(t, "run stops", func() bool { return state(r.Process.Pid) == "T" })
	unix.Kill(child, unix.SIGKILL)
	if _, code := r.end(); code != 137 {
		t.Errorf("exit code %d", code)
	}
}

// TestRunUncontrolled has run in a session without job control, as under a runner, leave the
// runner's group alone: a child that ends while it, or another one, is stopped, ends nobody
// else; signals for the group, SIGKILL among them, have their effect.
func TestRunUncontrolled(t *testing.T) {
	for script, want := range map[string]string{
		`ingressauth run -- sh -c 'kill -STOP $$' & until child=$(below $(below $(below $$ ingressauth))) && grep -q "^State:.T" /proc/$child/status; do sleep 0.01; done
			kill -9 $child; wait $!; echo $?`: "137\n",
		`sleep 60 & kill -STOP $!; ingressauth run -- sh -c 'sleep 0.3; exit 3'; echo $?; kill -9 $!`: "3\n",
		`sleep 60 & kill -STOP $!; ingressauth run --on-rotate none -- sleep 61 & until guard=$(below $$ ingressauth) && supervisor=$(below $guard) && below $supervisor sleep >/dev/null && aside $guard; do sleep 0.01; done
			kill -9 $supervisor; wait $!; echo $?; kill -9 %1`: "125\n",
		`ingressauth run -- sh -c 'kill -TSTP $$; exit 4'; echo $?`: "4\n",
	} {
		w := newRunWorld(t)
		marker := fmt.Sprintf("UNCONTROLLED=%d", os.Getpid())
		w.set(marker)
		cmd := exec.Command("bash", "-c", "trap 'echo hung up' HUP; below() { pgrep -P $1 $2; } 2>/dev/null; aside() { [ $(ps -o sid= -p $1) != $$ ]; } 2>/dev/null; "+script)
		cmd.Env = w.environ
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if out, errs, code := w.output(cmd); out != want || code != 0 {
			t.Errorf("%s: %q %q %d", script, out, errs, code)
		}
		eventually(t, "all end", func() bool { return len(marked(marker)) == 0 })
	}
	w := newRunWorld(t)
	marker := fmt.Sprintf("UNCONTROLLED=%d-killed", os.Getpid())
	w.set(marker)
	cmd := exec.Command("sh", "-c", "ingressauth run -- sh -c '(setsid sleep 100 &); sleep 101'; :")
	cmd.Env = w.environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the command has begun, and run has stepped aside", func() bool {
		guard := childrenOf(cmd.Process.Pid)
		if len(guard) != 1 || len(marked(marker)) <= 4 {
			return false
		}
		session, err := unix.Getsid(guard[0])
		return err == nil && session != cmd.Process.Pid
	})
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	cmd.Wait()
	eventually(t, "all end", func() bool { return len(marked(marker)) == 0 && len(w.left()) == 0 })
}

// TestRunGrace has what does not end on SIGTERM killed after the grace, and sooner on a
// second signal; what ends by itself is not killed.
func TestRunGrace(t *testing.T) {
	stubborn := `trap '' TERM; echo; while :; do sleep 0.1; done`
	// What is behind begins when the file is there.
	begun := `until [ -e "$BEGUN" ]; do sleep 0.01; done; `
	behind := `(setsid sh -c "trap '' TERM; : >\"\$BEGUN\"; while :; do sleep 0.1; done" & ); ` + begun
	for name, test := range map[string]struct {
		script string
		signal syscall.Signal // to run, 0 for none
		code   int
		after  time.Duration
	}{
		"a stubborn child":                  {stubborn, unix.SIGTERM, 137, graceTime},
		"a stubborn descendant":             {behind + "echo; exit 3", 0, 3, graceTime},
		"both":                              {behind + stubborn, unix.SIGTERM, 137, graceTime},
		"a stopped descendant":              {"sleep 100 & kill -STOP $!; echo; exit 3", 0, 3, 0},
		"one that cleans up":                {`trap 'sleep 0.5; exit 9' TERM; echo; while :; do sleep 0.05; done`, unix.SIGTERM, 9, 500 * time.Millisecond},
		"one that ignores another signal":   {`trap 'exit 9' TERM; trap '' INT; echo; kill -INT $$; sleep 0.1; exit 4`, unix.SIGINT, 4, 0},
		"a descendant that cleans up first": {`(setsid sh -c 'trap "sleep 0.5; exit" TERM; : >"$BEGUN"; while :; do sleep 0.05; done' & ); ` + begun + `echo; exit 3`, 0, 3, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRunWorld(t)
			marker := "GRACE=" + t.Name()
			w.set(marker, "BEGUN="+filepath.Join(t.TempDir(), "begun"))
			started := time.Now() // which is before the end of a child that ends by itself
			r := w.start("--", "sh", "-c", test.script)
			r.line()
			if test.signal != 0 {
				started = time.Now()
				r.Process.Signal(test.signal)
			}
			_, code := r.end()
			if took := time.Since(started); code != test.code || took < test.after {
				t.Errorf("exit code %d after %v", code, took)
			}
			if left := marked(marker); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
	t.Run("a stubborn child in a hurry", func(t *testing.T) {
		t.Parallel()
		again(t, func() (held string) {
			w := newRunWorld(t)
			r := w.start("--", "sh", "-c", "trap '' INT HUP; "+stubborn)
			r.line()
			started := time.Now()
			r.Process.Signal(unix.SIGTERM)
			r.Process.Signal(unix.SIGHUP) // belongs to it, if it is taken soon
			time.Sleep(2 * repeatTime)
			killed := state(r.Process.Pid) == "Z" || len(childrenOf(r.Process.Pid)) == 0
			if held = hurry(t, r, started, 137); killed {
				held = "the child was killed at once"
			}
			return held
		})
	})
	t.Run("in a hurry", func(t *testing.T) {
		t.Parallel()
		again(t, func() (held string) {
			w := newRunWorld(t)
			w.set("BEGUN=" + filepath.Join(t.TempDir(), "begun"))
			started := time.Now() // which is before the grace begins
			r := w.start("--", "sh", "-c", behind+"echo $$; exit 3")
			child, _ := strconv.Atoi(r.line())
			eventually(t, "the child ends", func() bool { return state(child) == "" })
			time.Sleep(2 * repeatTime)
			return hurry(t, r, started, 3)
		})
	})
}

// hurry interrupts a run, which is to end with this code before its grace is over, and returns what
// looks wrong where it was held up.
func hurry(t *testing.T, r *running, started time.Time, want int) (held string) {
	t.Helper()
	r.Process.Signal(unix.SIGINT)
	if _, code := r.end(); code != want {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(started); took >= graceTime {
		held = fmt.Sprintf("it took %v", took)
	}
	return held
}

// again tries a few times what looks wrong where somebody was held up, until it does not.
func again(t *testing.T, try func() (wrong string)) {
	t.Helper()
	for n := 1; ; n++ {
		wrong := try()
		if wrong == "" {
			return
		}
		if n == 5 {
			t.Fatalf("%s, each of %d times", wrong, n)
		}
		t.Logf("%s, and once more it is tried", wrong)
	}
}

// marked returns the processes, zombies aside, that have this variable.
func marked(variable string) (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+variable+"\x00")) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		pids = append(pids, pid)
	}
	return pids
}

// TestRunOnRotate has the child signalled, or replaced, after a rotation.
func TestRunOnRotate(t *testing.T) {
	second := testToken + "-2"
	world := func(t *testing.T) (w *runWorld, file, events string) {
		w = newRunWorld(t)
		dir := t.TempDir()
		file, events = filepath.Join(dir, "token"), filepath.Join(dir, "events")
		if err := os.WriteFile(file, []byte(testToken), 0o600); err != nil {
			t.Fatal(err)
		}
		w.set("CLAUDE_SESSION_INGRESS_TOKEN_FILE=" + file)
		return w, file, events
	}
	t.Run("signal", func(t *testing.T) {
		w, file, events := world(t)
		r := w.start("--from", "file", "--on-rotate", "signal=HUP", "--events", events, "--", "sh", "-c",
			`trap 'cat "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"; echo' HUP; echo ready; while :; do sleep 0.02; done`)
		r.line()
		replace(t, file, second)
		if line := r.line(); line != second {
			t.Errorf("%q", line)
		}
		r.Process.Signal(unix.SIGTERM)
		if _, code := r.end(); code != 143 {
			t.Errorf("exit code %d", code)
		}
		got := readEvents(t, events)
		first, next := fingerprint(testToken), fingerprint(second)
		pid := got[1]["pid"]
		if diff := cmp.Diff([]map[string]any{
			{"event": "generation", "generation": 1.0, "token": first},
			{"event": "start", "generation": 1.0, "pid": pid},
			{"event": "delivery", "generation": 1.0, "delivery": "file"},
			{"event": "generation", "generation": 2.0, "token": next},
			{"event": "delivery", "generation": 2.0, "delivery": "file"},
			{"event": "exit", "pid": pid, "code": 143.0, "signal": 15.0},
		}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("restart", func(t *testing.T) {
		w, file, events := world(t)
		// The first one's own child is gone before the second one starts.
		r := w.start("--from", "file", "--deliver", "fd,env", "--on-rotate", "restart", "--events", events, "--", "sh", "-c",
			`pgrep -fxc "sleep 54321"; (setsid sleep 54321 &); eval "cat <&$CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"; echo " $CLAUDE_CODE_SESSION_ACCESS_TOKEN"; read x; echo "$x"; read x; exit 5`)
		if first := r.line() + " " + r.line(); first != "0 "+testToken+" "+testToken {
			t.Errorf("%q", first)
		}
		replace(t, file, second)
		if next := r.line() + " " + r.line(); next != "0 "+second+" "+second {
			t.Errorf("%q", next)
		}
		fmt.Fprintln(r.in, "a line")
		if line := r.line(); line != "a line" {
			t.Errorf("%q", line)
		}
		r.in.Close()
		if _, code := r.end(); code != 5 {
			t.Errorf("exit code %d", code)
		}
		var names []string
		for _, e := range readEvents(t, events) {
			names = append(names, fmt.Sprint(e["event"]))
		}
		if got, want := strings.Join(names, " "), "generation start delivery delivery generation exit start delivery delivery exit"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
	t.Run("no restart of one that is to end", func(t *testing.T) {
		w, file, _ := world(t)
		r := w.start("--from", "file", "--on-rotate", "restart", "--", "sh", "-c", `trap '' TERM; echo started; while :; do sleep 0.02; done`)
		r.line()
		replace(t, file, second)
		time.Sleep(100 * time.Millisecond)
		r.Process.Signal(unix.SIGTERM)
		if rest, code := r.end(); rest != "" || code != 137 {
			t.Errorf("%q %d", rest, code)
		}
	})
	t.Run("the end while it is restarted", func(t *testing.T) {
		w, file, _ := world(t)
		r := w.start("--from", "file", "--on-rotate", "restart", "--", "sh", "-c", `(trap '' TERM; echo $$; exec sleep 99) & sleep 100`)
		child, _ := strconv.Atoi(r.line())
		r.Process.Signal(unix.SIGWINCH)
		replace(t, file, second)
		eventually(t, "the command ends, and what it has started does not", func() bool { return state(child) == "" })
		time.Sleep(50 * time.Millisecond) // until that was noticed
		r.Process.Signal(unix.SIGTERM)
		if rest, code := r.end(); rest != "" || code != 143 {
			t.Errorf("%q %d", rest, code)
		}
	})
	t.Run("signalled after the message", func(t *testing.T) {
		need(t, "python3")
		w, file, _ := world(t)
		for _, from := range []string{"file", "control"} {
			replace(t, file, testToken)
			r := w.start("--from", from, "--deliver", "env,file", "--on-rotate", "signal=HUP", "--", "python3", "-c", `
import os, select, signal, sys
def hup(*_):
    ready, _, _ = select.select([0], [], [], 0)
    print("message" if ready else "nothing", open(os.environ["CLAUDE_SESSION_INGRESS_TOKEN_FILE"]).read()[-2:], flush=True)
signal.signal(signal.SIGHUP, hup)
print("ready", flush=True)
while True:
    signal.pause()
`)
			r.line()
			if from == "file" {
				replace(t, file, second)
			} else {
				fmt.Fprintf(r.in, `{"type":"update_environment_variables","variables":{"CLAUDE_CODE_SESSION_ACCESS_TOKEN":"%s"}}`+"\n", second)
			}
			if line := r.line(); line != "message -2" {
				t.Errorf("--from %s: %q", from, line)
			}
			r.Process.Signal(unix.SIGTERM)
			r.end()
		}
	})
	t.Run("a disk that is full for a while", func(t *testing.T) {
		w, file, events := world(t)
		if err := unix.Mount("none", w.runtime, "tmpfs", 0, "size=16k,mode=700"); err != nil {
			t.Skip("needs the right to mount: ", err)
		}
		defer unix.Unmount(w.runtime, unix.MNT_DETACH)
		r := w.start("--from", "file", "--events", events, "--", "sh", "-c", `while :; do cat "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"; echo; sleep 0.02; done`)
		r.line()
		fill := filepath.Join(w.runtime, "fill")
		os.WriteFile(fill, make([]byte, 1<<20), 0o600)
		replace(t, file, second)
		eventually(t, "a failure", func() bool {
			text, _ := os.ReadFile(events)
			return bytes.Contains(text, []byte("no space left"))
		})
		if line := r.line(); line != testToken {
			t.Errorf("%q", line)
		}
		os.Remove(fill)
		for r.line() != second {
		}
		r.Process.Signal(unix.SIGTERM)
		r.end()
		var of2 []string
		for _, e := range readEvents(t, events) {
			if e["delivery"] != nil && e["generation"] == 2.0 {
				of2 = append(of2, fmt.Sprint(e["event"]))
			}
		}
		if diff := cmp.Diff([]string{"failure", "delivery"}, of2); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("an interrupt while it is restarted", func(t *testing.T) {
		w, file, _ := world(t)
		r := w.start("--from", "file", "--on-rotate", "restart", "--", "sh", "-c", `trap 'echo told' TERM; trap 'exit 8' INT; echo started; while :; do sleep 0.02; done`)
		r.line()
		replace(t, file, second)
		if line := r.line(); line != "told" { // to end, for another one to take its place
			t.Errorf("%q", line)
		}
		r.Process.Signal(unix.SIGINT)
		if rest, code := r.end(); rest != "" || code != 8 {
			t.Errorf("%q %d", rest, code)
		}
	})
	t.Run("the end of one who was to be told", func(t *testing.T) {
		w, file, _ := world(t)
		r := w.start("--from", "file", "--deliver", "env", "--", "sh", "-c", "echo; sleep 0.5; exit 6")
		fmt.Fprint(r.in, "a line without end")
		r.line()
		replace(t, file, second)
		started := time.Now()
		if _, code := r.end(); code != 6 || time.Since(started) >= 5*time.Second { // which a message has
			t.Errorf("exit code %d after %v", code, time.Since(started))
		}
	})
	t.Run("told late", func(t *testing.T) {
		// The message waits for longer than an attempt, and the file does not wait for it.
		w, file, events := world(t)
		r := w.start("--from", "file", "--deliver", "env,file", "--events", events, "--", "sh", "-c",
			`echo "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"; cat "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"; echo; cat`)
		path := r.line()
		if line := r.line(); line != testToken {
			t.Errorf("%q", line)
		}
		begun := "a line "
		fmt.Fprint(r.in, begun)
		if _, err := io.ReadFull(r.out, make([]byte, len(begun))); err != nil { // no message can come before it any more
			t.Fatal(err)
		}
		for _, token := range []string{testToken + "-1", second} {
			replace(t, file, token)
			eventually(t, "the file has it", func() bool {
				text, _ := os.ReadFile(path)
				return string(text) == token
			})
		}
		eventually(t, "an attempt fails", func() bool {
			text, _ := os.ReadFile(events)
			return bytes.Contains(text, []byte(`"event":"failure"`))
		})
		fmt.Fprintln(r.in, "with an end")
		if line := r.line(); line != "with an end" {
			t.Errorf("%q", line)
		}
		if line := r.line(); !strings.Contains(line, second) {
			t.Errorf("%q", line)
		}
		eventually(t, "that is said", func() bool {
			text, _ := os.ReadFile(events)
			return bytes.Contains(text, []byte(`"event":"delivery","generation":3,"delivery":"env"`))
		})
		r.in.Close()
		if rest, code := r.end(); rest != "" || code != 0 {
			t.Errorf("%q %d", rest, code)
		}
		var told []string
		for _, e := range readEvents(t, events) {
			if e["delivery"] == "env" {
				told = append(told, fmt.Sprint(e["event"], " ", e["generation"]))
			}
		}
		if diff := cmp.Diff([]string{"delivery 1", "failure 3", "delivery 3"}, told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a stubborn reader", func(t *testing.T) {
		w, file, events := world(t)
		done := filepath.Join(t.TempDir(), "done")
		w.set("DONE=" + done)
		r := w.start("--from", "file", "--deliver", "env,file", "--events", events, "--", "sh", "-c", `exec <&-; echo; until [ -e "$DONE" ]; do sleep 0.01; done; exit 6`)
		r.line()
		replace(t, file, second)
		eventually(t, "a message fails", func() bool {
			text, _ := os.ReadFile(events)
			return bytes.Contains(text, []byte(`"event":"failure"`))
		})
		time.Sleep(50 * time.Millisecond) // for what should not come
		if err := os.WriteFile(done, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, code := r.end(); code != 6 {
			t.Errorf("exit code %d", code)
		}
		var failures, deliveries int
		for _, e := range readEvents(t, events) {
			switch {
			case e["event"] == "failure" && e["delivery"] == "env":
				failures++
			case e["event"] == "delivery" && e["generation"] == 2.0:
				deliveries++
			}
		}
		if failures != 1 || deliveries != 1 {
			t.Errorf("%d failures, %d deliveries", failures, deliveries)
		}
	})
}

func fingerprint(text string) string {
	return fmt.Sprintf("bearer:%x", sha256.Sum256([]byte(text)))[:len("bearer:")+8]
}

// TestRunEvents has events go to a descriptor, which the child does not inherit, and
// nowhere else wait for them.
func TestRunEvents(t *testing.T) {
	w := newRunWorld(t)
	r, p, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := w.run("--events", "fd:4", "--", "sh", "-c", "ls /proc/self/fd; exit 3")
	cmd.ExtraFiles = []*os.File{nil, p}
	out, errs, code := w.output(cmd)
	p.Close()
	events, _ := io.ReadAll(r)
	r.Close()
	if n := bytes.Count(events, []byte("\n")); n != 4 || code != 3 || errs != "" {
		t.Errorf("%d events: %s; %q %d", n, events, errs, code)
	}
	if fields := strings.Fields(out); !slices.Contains(fields, "3") || slices.Contains(fields, "4") { // 3 is the directory
		t.Errorf("the child's descriptors: %v", fields)
	}
	// A pipe that nobody reads, a full disk, a reader that is gone: the child goes on.
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	stuck, stuckIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	defer stuckIn.Close()
	for stuckIn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err == nil; {
		_, err = stuckIn.Write(make([]byte, 4096))
	}
	gone, goneIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	defer goneIn.Close()
	for name, f := range map[string]*os.File{"full": full, "stuck": stuckIn, "gone": goneIn} {
		cmd := w.run("--events", "fd:3", "--", "sh", "-c", "echo done; exit 3")
		cmd.ExtraFiles = []*os.File{f}
		if out, errs, code := w.output(cmd); out != "done\n" || errs != "" || code != 3 {
			t.Errorf("%s: %q %q %d", name, out, errs, code)
		}
	}
}

// TestRunControl has run stand between a bridge and its child: every byte passes, and a
// token that comes by a line is in the file before the child has that line.
func TestRunControl(t *testing.T) {
	w := newRunWorld(t)
	events := filepath.Join(t.TempDir(), "events")
	r := w.start("--from", "control", "--deliver", "env,fd,file", "--events", events, "--", "sh", "-c",
		`while read -r line; do echo "$line"; cat "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"; echo; done; echo "$CLAUDE_CODE_SESSION_ACCESS_TOKEN"`)
	for i := range 20 {
		token := fmt.Sprintf("%s-%d", testToken, i)
		for _, line := range []string{
			fmt.Sprintf(`{"type":"update_environment_variables","variables":{"CLAUDE_CODE_SESSION_ACCESS_TOKEN":"%s","OTHER":"x"}}`, token),
			`{"type":"update_environment_variables","variables":`, // malformed, and the child's to judge
			"an ordinary line", `{"type":"other"}`,
		} {
			fmt.Fprintln(r.in, line)
			if got := r.line(); got != line {
				t.Fatalf("%q", got)
			}
			if got := r.line(); got != token {
				t.Fatalf("%q in the file after %q", got, line)
			}
		}
	}
	r.in.Close()
	if got := r.line(); got != testToken {
		t.Errorf("%q", got)
	}
	if _, code := r.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	var generations, deliveries, failures int
	for _, e := range readEvents(t, events) {
		switch e["event"] {
		case "generation":
			generations++
		case "delivery":
			deliveries++
		case "failure":
			failures++ // the malformed lines
		}
	}
	if generations != 21 || deliveries != 63 || failures != 20 {
		t.Errorf("%d generations, %d deliveries, %d failures", generations, deliveries, failures)
	}
}

// TestRunControlDeaf has rotations by lines reach the file, or restart the command, also
// where the command has closed its standard input; the next one begins with a whole line.
func TestRunControlDeaf(t *testing.T) {
	message := func(i int) string {
		return fmt.Sprintf(`{"type":"update_environment_variables","variables":{"CLAUDE_CODE_SESSION_ACCESS_TOKEN":"%s-%d"}}`, testToken, i)
	}
	t.Run("file", func(t *testing.T) {
		w := newRunWorld(t)
		r := w.start("--from", "control", "--", "sh", "-c", `exec <&-; echo; for i in $(seq 500); do cat "$CLAUDE_SESSION_INGRESS_TOKEN_FILE"; echo; sleep 0.01; done`)
		r.line()
		for i := range 3 {
			fmt.Fprintln(r.in, message(i))
			for r.line() != fmt.Sprintf("%s-%d", testToken, i) {
			}
		}
		r.Process.Signal(unix.SIGTERM)
		r.end()
	})
	t.Run("restart", func(t *testing.T) {
		w := newRunWorld(t)
		r := w.start("--from", "control", "--deliver", "env", "--on-rotate", "restart", "--", "sh", "-c",
			`echo "$CLAUDE_CODE_SESSION_ACCESS_TOKEN"; case $CLAUDE_CODE_SESSION_ACCESS_TOKEN in *-1) exec cat;; esac; exec <&-; sleep 100`)
		r.line()
		for i := range 2 {
			fmt.Fprintln(r.in, message(i))
			if got, want := r.line(), fmt.Sprintf("%s-%d", testToken, i); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		// cat has the rest of the input, and perhaps the line by which it was started.
		fmt.Fprintln(r.in, "a line")
		got := r.line()
		if got == message(1) {
			got = r.line()
		}
		if got != "a line" {
			t.Errorf("%q", got)
		}
		r.in.Close()
		r.end()
	})
	t.Run("messages at the end", func(t *testing.T) {
		w := newRunWorld(t)
		stuck, stuckIn, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stuck.Close()
		for stuckIn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err == nil; {
			_, err = stuckIn.Write(make([]byte, 4096))
		}
		cmd := w.run("--from", "control", "--events", "fd:3", "--", "sh", "-c", "exit 3")
		cmd.ExtraFiles = []*os.File{stuckIn}
		in, _ := cmd.StdinPipe()
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 200 { // until the end is near, and nobody takes them
			fmt.Fprintln(in, `{"type":"update_environment_variables","variables":`)
			time.Sleep(5 * time.Millisecond)
		}
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 3 || errs.Len() > 0 {
			t.Errorf("%q %d", errs.String(), code)
		}
	})
}

// TestRunSources has the token come from the place that is named, and from no other.
func TestRunSources(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("from-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"auto": testToken, "env": testToken, "fd": "from-fd", "file": "from-file", "control": testToken} {
		w := newRunWorld(t)
		pipe, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		in.WriteString("from-fd")
		in.Close()
		w.set("CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR=3", "CLAUDE_SESSION_INGRESS_TOKEN_FILE="+file)
		for _, flags := range [][]string{{"--exec"}, {"--deliver", "env"}} {
			if from == "control" && flags[0] == "--exec" || from == "fd" && flags[0] == "--exec" {
				continue
			}
			cmd := w.run(append(append(flags, "--from", from, "--"), "sh", "-c",
				`echo "$CLAUDE_CODE_SESSION_ACCESS_TOKEN $CLAUDE_SESSION_INGRESS_TOKEN_FILE $CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR"`)...)
			cmd.ExtraFiles = []*os.File{pipe}
			// The runner's own file is left to the child.
			if out, errs, code := w.output(cmd); out != want+" "+file+" \n" || errs != "" || code != 0 {
				t.Errorf("--from %s %v: %q %q %d", from, flags, out, errs, code)
			}
		}
		pipe.Close()
	}
}
