//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
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
)

// underRace reports whether what is tested has the race detector.
func underRace() bool { return slices.Contains(buildFlags, "-race") }

// textFinder looks for texts in what is written to it, in however many pieces.
type textFinder struct {
	texts []string
	found map[string]bool
	tail  []byte // of what was written before, too short for any of the texts
}

func newTextFinder(texts ...string) *textFinder {
	return &textFinder{texts: texts, found: make(map[string]bool)}
}

func (f *textFinder) Write(p []byte) (int, error) {
	keep := 0
	for _, text := range f.texts {
		keep = max(keep, len(text)-1)
	}
	seam := append(f.tail, p[:min(keep, len(p))]...)
	for _, text := range f.texts {
		if bytes.Contains(seam, []byte(text)) || bytes.Contains(p, []byte(text)) {
			f.found[text] = true
		}
	}
	if len(p) >= keep {
		seam = p
	}
	f.tail = slices.Clone(seam[max(0, len(seam)-keep):])
	return len(p), nil
}

// places says where texts were found, by the text.
type places map[string][]string

// in has a place be one of those where texts are, if they are in what is read.
func (p places) in(place string, r io.Reader, texts ...string) error {
	f := newTextFinder(texts...)
	_, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{r}, make([]byte, 1<<20))
	for text := range f.found {
		p[text] = append(p[text], place)
	}
	return err
}

const (
	// maxMapping bounds what is read of a mapping. What the race detector has is larger by far.
	maxMapping = 2 << 30
	pageSize   = 4 << 10
)

// search looks for texts wherever a process could read them: in its environment, its arguments,
// its open files and its memory. A process that ends meanwhile is an error, as is one that
// becomes another program.
func (p places) search(pid int, texts ...string) error {
	dir := fmt.Sprintf("/proc/%d/", pid)
	name, err := os.ReadFile(dir + "comm")
	if err != nil {
		return err
	}
	who := strings.TrimSpace(string(name)) + ": "
	for _, file := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(dir + file)
		if err != nil {
			return err
		}
		p.in(who+file, bytes.NewReader(text), texts...)
	}
	descriptors, err := os.ReadDir(dir + "fd")
	if err != nil {
		return err
	}
	for _, d := range descriptors {
		path := dir + "fd/" + d.Name()
		var stat syscall.Stat_t
		if err := syscall.Stat(path, &stat); err == syscall.ENOENT || err == nil && stat.Mode&syscall.S_IFMT != syscall.S_IFREG {
			continue // memfds are regular files
		}
		file, err := os.Open(path)
		if err == nil {
			target, _ := os.Readlink(path)
			err = p.in(who+"open file "+target, io.LimitReader(file, maxMapping), texts...)
			file.Close()
		}
		if err != nil {
			return err
		}
	}
	if n, err := p.searchMemory(pid, who, texts...); err != nil {
		return err
	} else if n < 100<<10 {
		return fmt.Errorf("%sonly %d bytes of memory could be read", who, n)
	}
	return nil
}

// searchMemory looks for texts in what is mapped, and returns how much of it was read.
func (p places) searchMemory(pid int, who string, texts ...string) (size int64, err error) {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return 0, err
	}
	defer memory.Close()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		var begin, end uint64
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &begin, &end); err != nil {
			return size, fmt.Errorf("%q: %w", line, err)
		}
		name := strings.Join(fields[5:], " ")
		switch {
		case fields[1][0] != 'r', strings.HasPrefix(name, "[v"), strings.HasPrefix(name, "/dev/") && !strings.HasPrefix(name, "/dev/shm/"): // devices
			continue
		case end-begin > maxMapping && underRace():
			continue
		case end-begin > maxMapping:
			return size, fmt.Errorf("%s%stoo much to be read", who, line)
		}
		r := &mappingReader{memory, int64(begin), int64(end), 0}
		if err := p.in(who+"memory "+name, r, texts...); err != nil {
			return size, fmt.Errorf("%s%s: %w", who, line, err)
		}
		size += r.read
	}
	return size, nil
}

// mappingReader reads a mapping, less the pages that cannot be read: of a file that is shorter by
// now, say.
type mappingReader struct {
	memory   *os.File
	now, end int64
	read     int64
}

func (r *mappingReader) Read(p []byte) (int, error) {
	for r.now < r.end {
		n, err := r.memory.ReadAt(p[:min(int64(len(p)), r.end-r.now)], r.now)
		r.now, r.read = r.now+int64(n), r.read+int64(n)
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EFAULT):
			r.now += pageSize
		default:
			return 0, err
		}
	}
	return 0, io.EOF
}

// below returns the processes that descend from one.
func below(t testing.TB, pid int) (pids []int) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := make(map[int][]int)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name may hold anything; the state and the parent follow it.
		var state string
		var parent int
		if _, err := fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &state, &parent); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if state != "Z" { // of which nothing is left
			children[parent] = append(children[parent], child)
		}
	}
	pids = slices.Clone(children[pid])
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids
}

// statusOf returns a number in /proc/PID/status, as VmHWM in KiB.
func statusOf(t testing.TB, pid int, name string) (n int) {
	t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			if _, err := fmt.Sscan(text, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s of process %d", name, pid)
	return 0
}

// TestSearch has texts be found wherever a process has them.
func TestSearch(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fmt.Fprint(file, "needle-of-a-file")
	os.Remove(file.Name())
	cmd := exec.Command("sh", "-c", "v=needle-of-a; echo; read line; : $v-variable", "needle-of-an-argument")
	cmd.Env, cmd.ExtraFiles = []string{"V=needle-of-the-environment"}, []*os.File{file}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	out.Read(make([]byte, 1)) // until it has begun
	if pids := below(t, os.Getpid()); !slices.Contains(pids, cmd.Process.Pid) {
		t.Errorf("%d is not among %d", cmd.Process.Pid, pids)
	}
	found := make(places)
	texts := []string{"needle-of-a-file", "needle-of-an-argument", "needle-of-the-environment", "v=needle-of-a;", "needle-of-none"}
	if err := found.search(cmd.Process.Pid, texts...); err != nil {
		t.Error(err)
	}
	for i, want := range []string{"open file", "cmdline", "environ", "memory", ""} {
		if got := strings.Join(found[texts[i]], ", "); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s is in %q, want %q", texts[i], got, want)
		}
	}
}

// TestTextFinder has texts be found whole, in pieces, and one behind another.
func TestTextFinder(t *testing.T) {
	for name, test := range map[string]struct {
		pieces []string
		want   string
	}{
		"nothing":          {nil, ""},
		"whole":            {[]string{"xx needle xx"}, "needle"},
		"in two pieces":    {[]string{"xx nee", "dle xx"}, "needle"},
		"by the byte":      {[]string{"n", "e", "e", "d", "l", "e"}, "needle"},
		"after a long one": {[]string{strings.Repeat("x", 100), "ne", "edle"}, "needle"},
		"not quite":        {[]string{"nee", "x", "dle", "needl"}, ""},
		"both":             {[]string{"need", "lehaysta", "ck"}, "haystack needle"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTextFinder("needle", "haystack")
			for _, piece := range test.pieces {
				fmt.Fprint(f, piece)
			}
			var found []string
			for text := range f.found {
				found = append(found, text)
			}
			slices.Sort(found)
			if got := strings.Join(found, " "); got != test.want {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}
