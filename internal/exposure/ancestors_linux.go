package exposure

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/proctree"
)

const (
	// maxAncestors bounds how many processes are looked at.
	maxAncestors = 64
	// maxEnviron bounds how much of an environment is read, in bytes: no process can be started
	// with more.
	maxEnviron = 6 << 20
)

// ancestors looks at the environments and the arguments of a process and of those that it descends
// from. Arguments are shown to all users, whatever they are confined to.
func (l *looker) ancestors() (found []Finding) {
	pid := l.From
	if pid == 0 {
		pid = os.Getpid()
	}
	for range maxAncestors {
		if pid <= 0 {
			break
		}
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err == nil && l.hold(b) {
			found = append(found, Finding{Kind: Arguments, PID: pid, Name: l.name(pid)})
		}
		if !l.Confined {
			for _, name := range l.variables(l.environ(pid)) {
				found = append(found, Finding{Kind: Environment, PID: pid, Name: l.name(pid), Variable: name})
			}
		}
		pid = proctree.Parent(pid)
	}
	return found
}

// environ returns a process's environment, if the command's user could read it. The kernel gives
// the file to root where it keeps the process from its user, too. (It also asks for the user's
// group, which makes what is found more, and never less.)
func (l *looker) environ(pid int) []byte {
	f, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/environ", os.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if l.UID != 0 && l.UID != os.Geteuid() {
		info, err := f.Stat()
		if err != nil {
			return nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != l.UID {
			return nil
		}
	}
	b, _ := io.ReadAll(io.LimitReader(f, maxEnviron))
	return b
}

// name returns what a process calls itself.
func (l *looker) name(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "?"
	}
	name := strings.TrimSuffix(string(b), "\n")
	if name == "exe" { // it was started as /proc/self/exe
		if path, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); err == nil {
			name = filepath.Base(path)
		}
	}
	return l.shown(name)
}

// variables returns the names of those that have a token, of an environment as the kernel has it.
func (l *looker) variables(environ []byte) (names []string) {
	if !l.hold(environ) && (l.Variable == "" || !bytes.Contains(environ, []byte(l.Variable+"="))) { // which is the rule
		return nil
	}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		name, value, ok := strings.Cut(string(entry), "=")
		token := name == l.Variable && strings.TrimSpace(value) != "" && !phantom.Is(value)
		if ok && (token || l.hold([]byte(value))) {
			names = append(names, l.shown(name))
		}
	}
	return names
}
