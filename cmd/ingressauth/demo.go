package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
	"github.com/spf13/cobra"
)

// demoTimeout bounds the demonstration, which takes a fraction of a second.
const demoTimeout = 30 * time.Second

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show with made-up tokens what children find, and check this host",
		Long: `Hand made-up tokens to real child processes, by variable, by pipe and by file,
replace them while the children run, and print what each child found, where and
why. No real token is touched, and nothing is left behind.

It exits with 0 only if every child found what it should, so that it checks a
host, too.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), demoTimeout)
			defer cancel()
			return demonstrate(ctx, cmd.OutOrStdout())
		},
	}
}

// demo is a demonstration under way.
type demo struct {
	dir     string // of everything it writes
	profile string // the file of the profile that its children use
	names   ingressauth.Profile

	table *tabwriter.Writer
	wrong int // how many children did not find what they should
}

// sight is what a child found.
type sight struct {
	Fingerprint string `json:"fingerprint"`
	Where       string `json:"where"`
	Why         string `json:"why"`
	Error       string `json:"error,omitempty"`
}

func demonstrate(ctx context.Context, out io.Writer) (err error) {
	d := &demo{table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	if d.dir, err = os.MkdirTemp("", "ingressauth-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	// The children's own well-known file, so that this host's is left alone.
	p := ingressauth.Profile{File: filepath.Join(d.dir, "well-known", "token")}
	d.names = p.WithDefaults()
	d.profile = filepath.Join(d.dir, "profile.json")
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.profile, text, 0o600); err != nil {
		return err
	}

	fmt.Fprintln(d.table, "CHILD\tTOKEN\tFOUND\tWHERE\tWHY")
	for _, show := range []func(context.Context) error{d.byVariable, d.byPipe, d.byFile} {
		if err := show(ctx); err != nil {
			return errors.Join(err, d.table.Flush())
		}
	}
	if err := d.table.Flush(); err != nil {
		return err
	}
	if d.wrong > 0 {
		return hinted{
			fmt.Errorf("%d of the children's answers are wrong: on this host, tokens do not reach every process", d.wrong),
			"the rows that say WRONG name the way that does not work here",
		}
	}
	fmt.Fprintln(out, "\nEvery child found the token that it should.")
	return nil
}

// byVariable hands the token down in the environment and replaces it as a parent
// does, by a line on the child's standard input.
func (d *demo) byVariable(ctx context.Context) (err error) {
	first, second := madeUp(), madeUp()
	c, err := d.start(ctx, nil, d.names.TokenVariable+"="+first.Reveal())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	d.check("by variable", "first", first, c)
	c.update(ctx, d.names.TokenVariable, second)
	d.check("by variable", "second, by a line on its standard input", second, c)
	return nil
}

// byPipe hands the token down in a pipe that can be read once. The child leaves it
// in the well-known file, for processes that inherit neither.
func (d *demo) byPipe(ctx context.Context) (err error) {
	if runtime.GOOS == "windows" {
		fmt.Fprintln(d.table, "by pipe\t-\t-\t-\tprocesses do not inherit descriptors on windows")
		return nil
	}
	first, second := madeUp(), madeUp()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.WriteString(w, first.Reveal())
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	// The first extra file is descriptor 3.
	c, err := d.start(ctx, []*os.File{r}, d.names.DescriptorVariable+"=3", d.names.RemoteVariable+"=true")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	d.check("by pipe", "first", first, c)
	other, err := d.start(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.end()) }()
	d.check("inherits nothing", "first, left in the well-known file", first, other)
	c.update(ctx, d.names.TokenVariable, second)
	d.check("by pipe", "second, by a line on its standard input", second, c)
	return nil
}

// byFile names the token's file and replaces it, by renaming and by writing.
func (d *demo) byFile(ctx context.Context) (err error) {
	first, second, third := madeUp(), madeUp(), madeUp()
	path := filepath.Join(d.dir, "per-session")
	write := func(path string, t ingressauth.Token) error {
		return os.WriteFile(path, []byte(t.Reveal()+"\n"), 0o600)
	}
	if err := write(path, first); err != nil {
		return err
	}
	c, err := d.start(ctx, nil, d.names.FileVariable+"="+path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	d.check("by file", "first", first, c)
	if err := errors.Join(write(path+".new", second), os.Rename(path+".new", path)); err != nil {
		return err
	}
	d.check("by file", "second, renamed to its place", second, c)
	if err := write(path, third); err != nil {
		return err
	}
	d.check("by file", "third, written over it", third, c)
	return nil
}

// check asks a child what it finds, until it finds this token or had a second for
// it, and prints the answer.
func (d *demo) check(child, token string, want ingressauth.Token, c *child) {
	var s sight
	for deadline := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		s = c.look()
		if s.Fingerprint == want.Fingerprint() || c.err != nil || time.Now().After(deadline) {
			break
		}
	}
	if s.Fingerprint != want.Fingerprint() {
		d.wrong++
		s.Why = strings.TrimPrefix(s.Error+"; ", "; ") + "WRONG: it should be " + want.Fingerprint()
	}
	fmt.Fprintf(d.table, "%s\t%s\t%s\t%s\t%s\n", child, token, s.Fingerprint, s.Where, s.Why)
}

// madeUp returns a token like those of self-hosted sessions, signed by nobody. All
// are of one session, and end in an hour.
func madeUp() ingressauth.Token {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	t, err := ingressauth.NewToken("sk-ant-cc-"+part(`{"alg":"none"}`)+"."+
		part(fmt.Sprintf(`{"iss":"demo","sub":"session","jti":%q,"exp":%d}`, rand.Text(), time.Now().Add(time.Hour).Unix()))+
		".made-up", "")
	if err != nil {
		panic(err) // there is nothing in it that a header could not carry
	}
	return t
}

// child is a process that looks for its token when it is asked to.
type child struct {
	cmd *exec.Cmd
	in  control.Writer
	eof io.Closer // ends what is written to in
	out *bufio.Reader
	err error // the first thing that went wrong with it
}

// start starts a child with these extra files and variables, and none of the
// variables by which a real token could reach it.
func (d *demo) start(ctx context.Context, files []*os.File, variables ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self, demoChild, "--profile", d.profile)}
	c.cmd.Env = append(d.scrubbed(os.Environ()), variables...)
	c.cmd.ExtraFiles = files
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.in.Out, c.eof = in, in
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	return c, c.cmd.Start()
}

func (d *demo) scrubbed(environ []string) []string {
	n := d.names
	names := []string{n.TokenVariable, n.DescriptorVariable, n.FileVariable, n.RemoteVariable, n.OrganizationVariable}
	return slices.DeleteFunc(environ, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name)
	})
}

// look asks the child what it finds.
func (c *child) look() (s sight) {
	c.send("look")
	line, err := c.out.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &s)
	}
	c.keep(err)
	return s
}

// update replaces the child's token.
func (c *child) update(ctx context.Context, variable string, t ingressauth.Token) {
	c.keep(c.in.Update(ctx, map[string]string{variable: t.Reveal()}))
}

func (c *child) send(line string) {
	_, err := io.WriteString(&c.in, line+"\n")
	c.keep(err)
}

func (c *child) keep(err error) {
	if c.err == nil && err != nil {
		c.err = fmt.Errorf("talk to a child: %w", err)
	}
}

// end ends the child, which ends when its standard input does, and returns the
// first thing that went wrong with it.
func (c *child) end() error {
	c.keep(c.eof.Close())
	c.keep(c.cmd.Wait())
	return c.err
}
