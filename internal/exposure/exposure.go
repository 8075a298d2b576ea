// Package exposure says where a command that is to have no token could read one all the same.
package exposure

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/ingressauth/ingressauth/internal/access"
	"github.com/ingressauth/ingressauth/internal/phantom"
	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// Options say who the command is, and where to look.
type Options struct {
	Texts    []string // tokens that it must not read
	Variable string   // the token variable: whatever it holds, but a phantom, is a token
	UID      int      // its user
	Groups   []int    // all groups of it, the primary one included
	Confined bool     // it is in a Landlock domain of its own
	Open     []string // directories that it starts in or inherits: what is above them keeps nobody from what is in them
	From     int      // the process with which the ancestors begin; 0 is this one
	Files    []string // token files: whatever is in one, but a phantom, is a token
	Secrets  []string // files of what gets tokens: a client's secret, or its key
}

// Kind is what a token can be read from.
type Kind string

const (
	// Arguments are those of a process.
	Arguments Kind = "arguments"
	// Environment is a variable that a process was started with.
	Environment Kind = "environment"
	// File is a file.
	File Kind = "file"
	// Secret is a file of what gets tokens.
	Secret Kind = "secret"
	// Memory is that of every process.
	Memory Kind = "memory"
)

// Finding is a place where the command could read a token. It holds nothing of one.
type Finding struct {
	Kind     Kind
	PID      int    // of an Environment, or of Arguments
	Name     string // of its process
	Variable string // of an Environment
	Path     string // of a File or a Secret
}

// String says it to people.
func (f Finding) String() string {
	switch f.Kind {
	case Environment:
		return fmt.Sprintf("the command can read a token in the environment of process %d (%s), in the variable %s", f.PID, f.Name, f.Variable)
	case Arguments:
		return fmt.Sprintf("the command can read a token in the arguments of process %d (%s), as every user of this machine can", f.PID, f.Name)
	case File:
		return "the command can read a token in the file " + f.Path
	case Secret:
		return "the command can get tokens with what it can read in the file " + f.Path
	default:
		return "the command runs as root, who can read the memory of every process, whatever holds the token"
	}
}

// maxFile bounds how much of a file is read, in bytes. Settings are smaller.
const maxFile = 1 << 20

// Find looks for tokens that the command's user could read, and for what gets tokens: in the
// environments and arguments of a process and its ancestors (Linux), and in files. It looks at
// nothing else: other processes' environments and open files are as readable. What this process
// cannot read itself is not found.
func Find(o Options) []Finding {
	var found []Finding
	texts := make([][]byte, 0, len(o.Texts))
	for _, t := range o.Texts {
		if t != "" {
			texts = append(texts, []byte(t))
		}
	}
	look := looker{o, texts}
	found = look.ancestors()
	for _, files := range []struct {
		kind  Kind
		paths []string
	}{{File, o.Files}, {Secret, o.Secrets}} {
		for _, path := range files.paths {
			if look.file(path) {
				found = append(found, Finding{Kind: files.kind, Path: look.shown(path)})
			}
		}
	}
	if o.UID == 0 && !o.Confined && runtime.GOOS != "windows" {
		found = append(found, Finding{Kind: Memory})
	}
	return found
}

type looker struct {
	Options
	texts [][]byte
}

// hold reports whether one of the tokens is in b.
func (l *looker) hold(b []byte) bool {
	for _, t := range l.texts {
		if bytes.Contains(b, t) {
			return true
		}
	}
	return false
}

// shown is s for messages, without a token.
func (l *looker) shown(s string) string {
	if l.hold([]byte(s)) {
		return tokentext.Hidden
	}
	return tokentext.Shown(s)
}

// file reports whether something but a phantom is in a file, and the command can read it.
func (l *looker) file(path string) bool {
	user := access.User{UID: l.UID, Groups: l.Groups}
	check := func(info os.FileInfo) error {
		if !user.May(info, access.Read) {
			return os.ErrPermission
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		if user.Reach(path) == nil {
			return nil
		}
		for _, dir := range l.Open {
			if dir, err := filepath.EvalSymlinks(dir); err == nil && user.ReachFrom(dir, path) == nil {
				return nil
			}
		}
		return os.ErrPermission
	}
	if l.UID == 0 || l.UID == os.Geteuid() {
		check = nil // then it is enough that we can read it
	}
	b, _, _ := readfile.Regular(path, maxFile, check)
	text := tokentext.TrimSpace(string(b))
	return text != "" && !phantom.Is(text)
}
