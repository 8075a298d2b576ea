//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal, on whose other side a session runs.
type terminal struct {
	t    *testing.T
	file *os.File

	lock sync.Mutex
	text string // that has come so far
	read int    // how much of it was waited for
}

// newTerminal starts a command as the leader of a session on a terminal of its own.
func newTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number int
	withDescriptor(t, master, func(fd int) (err error) {
		if number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err != nil {
			return err
		}
		return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	})
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, file: master}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			term.lock.Lock()
			term.text += string(b[:n])
			term.lock.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		master.Close()
	})
	return term
}

// withDescriptor calls f with the descriptor of a file, which stays as it is: File.Fd would
// have reads block, and Close wait for them.
func withDescriptor(t *testing.T, file *os.File, f func(fd int) error) {
	t.Helper()
	c, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
}

// wait waits for a text, after what was waited for before, and returns what came until its
// end.
func (x *terminal) wait(text string) string {
	x.t.Helper()
	var came string
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		x.lock.Lock()
		rest := x.text[x.read:]
		if before, _, ok := strings.Cut(rest, text); ok {
			came = before + text
			x.read += len(came)
		}
		x.lock.Unlock()
		if came != "" {
			return came
		}
		if time.Now().After(deadline) {
			x.t.Fatalf("waited in vain for %q; there is %q", text, rest)
		}
	}
}

func (x *terminal) send(text string) {
	x.t.Helper()
	if _, err := x.file.WriteString(text); err != nil {
		x.t.Fatal(err)
	}
}

// front returns the group in the foreground.
func (x *terminal) front() (group int) {
	x.t.Helper()
	withDescriptor(x.t, x.file, func(fd int) (err error) {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return group
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlZ = "\x1a"
)

// counting says that it is there, counts each Ctrl+C, and ends with that number as its exit
// code when a line comes. A signal wakes it up by a pipe, too: Python would wait for a line with one
// that comes just before it begins to.
const counting = `import os, select, signal, sys
n = 0
woken, wake = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(wake)
def interrupted(*_):
    global n
    n += 1
    print("got", n, flush=True)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGCONT, lambda *_: print("continued", flush=True))
signal.signal(signal.SIGWINCH, lambda *_: print("size", flush=True))
if sys.stdin.isatty() and sys.stdout.isatty():
    print("ready", flush=True)
while 0 not in select.select([0, woken], [], [])[0]:
    os.read(woken, 100)
sys.exit(n if sys.stdin.readline() else 99)
`

// catBegun is a command that says "begun", which is not what the terminal shows of it, and then
// is cat: nobody reads another command's line for it by now.
const catBegun = `sh -c 'echo be""gun; exec cat'`

// script writes a program to a file, and returns the command that runs it.
func script(t *testing.T, text string) string {
	need(t, "python3")
	path := filepath.Join(t.TempDir(), "script.py")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "python3 " + path
}

// TestRunUnderShell has an interactive shell control run's child as if run were not there.
func TestRunUnderShell(t *testing.T) {
	for _, flags := range []string{"", "--deliver env ", "--exec "} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			w := newRunWorld(t)
			w.set("PS1=prompt> ", "HISTFILE=")
			shell := exec.Command("bash", "--norc", "-i")
			shell.Env = w.environ
			term := newTerminal(t, shell)
			term.wait("prompt> ")

			// An interrupt comes once; so does a change of the window's size.
			term.send("ingressauth run " + flags + "-- " + script(t, counting) + "\n")
			term.wait("ready")
			front := term.front()
			aside := func() {
				t.Helper()
				if flags == "--exec " {
					return
				}
				// Until then it is in the job's group, and passes on what the command gets, too.
				eventually(t, "run steps aside", func() bool {
					group, err := unix.Getpgid(front)
					return err == nil && group != front
				})
			}
			aside()
			term.send(ctrlC)
			term.wait("got 1")
			withDescriptor(t, term.file, func(fd int) error {
				return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 20, Col: 70})
			})
			term.wait("size")
			// It stops with all of the job, and continues with it, in the background, too.
			for _, again := range []string{"fg\n", "bg; sleep 0.2; fg\n"} {
				term.send(ctrlZ)
				term.wait("Stopped")
				term.wait("prompt> ")
				if term.front() != shell.Process.Pid {
					t.Error("the shell has not got the terminal back")
				}
				term.send(again)
				term.wait("continued")
				eventually(t, "the child has the terminal again", func() bool { return term.front() == front })
				time.Sleep(echoTime + settleTime) // until then it may be continued once more, and nobody stops it as soon
				aside()
			}
			time.Sleep(100 * time.Millisecond)
			term.send(ctrlC)
			term.wait("got 2")
			time.Sleep(50 * time.Millisecond)
			term.send("\n")
			term.wait("prompt> ")
			term.send("echo code $?\n")
			if text := term.wait("prompt> "); !strings.Contains(text, "code 2\r\n") {
				t.Errorf("%q", text)
			}

			// In a pipeline, whoever shares the terminal can use it.
			term.send("ingressauth run " + flags + `-- sh -c 'echo text; sleep 0.1' | sh -c 'cat; read x </dev/tty; echo "r""ead $x"'` + "\n")
			term.wait("text")
			term.send("a line\n")
			term.wait("read a line")
			term.wait("prompt> ")
			// An interrupt ends the job.
			term.send("ingressauth run " + flags + "-- " + catBegun + " | cat; echo 'e''nded' ${PIPESTATUS[@]}\n")
			term.wait("begun")
			term.send("x\n")
			term.wait("x\r\nx\r\n")
			term.send(ctrlC)
			term.wait("prompt> ")
			// What runs in the background and reads is stopped for that.
			term.send("ingressauth run " + flags + "-- cat &\n")
			term.wait("prompt> ")
			eventually(t, "the job is stopped", func() bool {
				term.send("jobs\n")
				return strings.Contains(term.wait("prompt> "), "Stopped")
			})
			term.send("fg\n")
			eventually(t, "the job has the terminal", func() bool { return term.front() != shell.Process.Pid })
			time.Sleep(300 * time.Millisecond)
			term.send("y\n")
			term.wait("y\r\ny\r\n")
			term.send(ctrlD)
			term.wait("prompt> ")
			term.send("echo code $?\n")
			if text := term.wait("prompt> "); !strings.Contains(text, "code 0\r\n") {
				t.Errorf("%q", text)
			}
			// One that is killed while it is stopped is gone.
			for _, kill := range []string{"kill %1", "kill -9 %1"} {
				term.send("ingressauth run " + flags + "-- sh -c 'echo be\"\"gun; exec sleep 77'\n")
				term.wait("begun")
				time.Sleep(100 * time.Millisecond)
				term.send(ctrlZ)
				term.wait("Stopped")
				term.wait("prompt> ")
				term.send(kill + "; fg; sleep 0.3; jobs; echo 'd''one'\n")
				if text := term.wait("done\r\n"); strings.Contains(text, "Running") {
					t.Errorf("%q", text)
				}
				term.wait("prompt> ")
			}
			// A shell of its own, which makes groups of its own, suspends itself.
			term.send("PS1='in''ner> ' ingressauth run " + flags + "-- bash --norc -i\n")
			term.wait("inner> ")
			term.send("suspend\n")
			term.wait("Stopped")
			term.wait("prompt> ")
			term.send("fg\n")
			eventually(t, "the job has the terminal", func() bool { return term.front() != shell.Process.Pid })
			time.Sleep(300 * time.Millisecond)
			term.send("echo 'b''ack'\n")
			term.wait("back")
			term.send("exit\n")
			term.wait("prompt> ")
			term.send("exit\n")
		})
	}
}

// TestRunLeads has run be the leader of a session, as under ssh, tmux or a container
// engine: its child has the terminal, gets what comes from there once, and is not stopped,
// since nobody would continue it.
func TestRunLeads(t *testing.T) {
	for _, flags := range []string{"", "--deliver env ", "--exec "} {
		t.Run(flags, func(t *testing.T) {
			t.Parallel()
			w := newRunWorld(t)
			cmd := exec.Command("sh", "-c", "exec ingressauth run "+flags+"-- "+script(t, counting))
			cmd.Env = w.environ
			term := newTerminal(t, cmd)
			term.wait("ready")
			term.send(ctrlC)
			term.wait("got 1")
			term.send(ctrlZ)
			time.Sleep(100 * time.Millisecond)
			term.send(ctrlC)
			term.wait("got 2")
			time.Sleep(50 * time.Millisecond)
			term.send("\n")
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 2 {
				t.Errorf("exit code %d", code)
			}
		})
	}
	t.Run("a shell", func(t *testing.T) {
		t.Parallel()
		w := newRunWorld(t)
		w.set("PS1=prompt> ", "HISTFILE=")
		cmd := w.run("--", "bash", "--norc", "-i")
		term := newTerminal(t, cmd)
		term.wait("prompt> ")
		term.send(catBegun + "\n")
		term.wait("begun")
		front := term.front()
		term.send(ctrlZ)
		term.wait("Stopped")
		term.wait("prompt> ")
		term.send("fg\n")
		eventually(t, "the job has the terminal", func() bool { return term.front() == front })
		time.Sleep(200 * time.Millisecond)
		term.send("x\n")
		term.wait("x\r\nx\r\n")
		term.send(ctrlC)
		term.wait("prompt> ")
		term.send("exit 4\n")
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 4 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("a pipeline", func(t *testing.T) {
		t.Parallel()
		w := newRunWorld(t)
		cmd := w.run("--", "sh", "-c", "echo ready; sleep 1 | cat; echo done; exit 4")
		term := newTerminal(t, cmd)
		term.wait("ready")
		time.Sleep(100 * time.Millisecond)
		term.send(ctrlZ)
		term.wait("done")
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 4 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("lines from a terminal", func(t *testing.T) {
		t.Parallel()
		w := newRunWorld(t)
		cmd := w.run("--from", "control", "--", "true")
		term := newTerminal(t, cmd)
		term.wait("is a terminal")
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 2 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("hang-up", func(t *testing.T) {
		t.Parallel()
		w := newRunWorld(t)
		marker := "HANGUP=" + t.Name()
		w.set(marker)
		cmd := w.run("--", "sh", "-c", "echo ready; sleep 100")
		term := newTerminal(t, cmd)
		term.wait("ready")
		term.file.Close()
		cmd.Wait()
		eventually(t, "all end", func() bool { return len(marked(marker)) == 0 })
	})
}

// TestRunTypesAbove has a confined command type into its terminal what the shell above would run, and
// compares whether it can with what run says of that.
func TestRunTypesAbove(t *testing.T) {
	need(t, "python3")
	w := newRunWorld(t)
	for _, isolated := range []bool{false, true} {
		events := filepath.Join(t.TempDir(), "events")
		args := []string{"--deliver", "broker", "--upstream", "https://service.example", "--confine", "--scrub", "CLAUDE*", "--events", events}
		if isolated {
			args = append(args, "--require-isolated")
		}
		cmd := w.run(append(args, "--", "python3", "-c", `import fcntl, termios
try:
    fcntl.ioctl(open("/dev/tty"), termios.TIOCSTI, b"x")
    print("has typed.")
except OSError:
    print("cannot type.")`)...)
		term := newTerminal(t, cmd)
		if isolated {
			err := cmd.Wait()
			found := strings.Contains(fmt.Sprint(eventsOf(t, events, eventExposure)), "type into its terminal")
			if code := cmd.ProcessState.ExitCode(); found != (code == exitRun) || !found && err != nil {
				t.Errorf("found: %v, exit code %d", found, code)
			}
			continue
		}
		typed := strings.Contains(term.wait("."), "has typed")
		cmd.Wait()
		found := strings.Contains(fmt.Sprint(eventsOf(t, events, eventExposure)), "type into its terminal")
		if typed != found {
			t.Errorf("found: %v; it has typed: %v", found, typed)
		}
	}
}
