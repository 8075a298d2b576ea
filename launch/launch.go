package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
	"github.com/ingressauth/ingressauth/internal/landlock"
	"github.com/ingressauth/ingressauth/internal/tokendir"
)

// Delivery is a way by which a child gets its token.
type Delivery string

const (
	// Environment is the token variable. A rotation reaches the child by the control
	// channel, if there is one. The first token can be read in the child's
	// environment, by this user and root, for as long as the child lives.
	Environment Delivery = "env"
	// Descriptor is an open file that holds the token, and the descriptor variable
	// with its number: the lowest from 3 to 9 that the child has no other use for. On
	// Linux it is a memfd that nobody can change, and who inherits it can read it any
	// number of times; elsewhere, and where memfds are forbidden, it is a pipe, which
	// can be read once. A rotation reaches the child by the control channel, if there
	// is one. Windows has no such descriptors.
	Descriptor Delivery = "fd"
	// File is a file of mode 0600 in a directory of mode 0700 of the child's own, and
	// the file variable with its path. The directory is in $XDG_RUNTIME_DIR, or else
	// in /run/user/UID on Linux, or else in the directory for temporary files. A
	// rotation replaces the file, and reaches whoever reads it then.
	File Delivery = "file"
)

// ErrNoChannel says that a rotation cannot reach the child's environment, since
// [Cmd.StdinPipe] was not called, or the pipe has been closed.
var ErrNoChannel = errors.New("there is no control channel to the child")

var (
	errNoCommand  = errors.New("launch: no Command")
	errNotStarted = errors.New("launch: not started")
)

// Cmd is a child that has a token. The fields must not be changed after Start. Rotate may
// be called by many goroutines at once, the other methods by one.
type Cmd struct {
	// Command is the program, and all that package os/exec lets one say of it. Start
	// and Wait of this Cmd take the place of its own, and so does StdinPipe. Start
	// sets SysProcAttr.Pdeathsig to SIGKILL where the system has it and it is zero:
	// then the child does not outlive this process. (Not with Confine.)
	Command *exec.Cmd

	// Token is the first token.
	Token ingressauth.Token

	// Deliver says by which ways the child gets it. At least one is needed.
	Deliver []Delivery

	// Profile names the variables. Zero means the defaults. Its File is not used.
	Profile ingressauth.Profile

	// Scrub are names of variables that the child is not to inherit, or patterns of
	// them, as [path.Match] reads them. What is delivered is not scrubbed.
	Scrub []string

	// Confine keeps the child, and all that it starts, from reading other processes of its
	// user: their environments, memory and open files, those of this process included. It
	// says nothing of files, of arguments, nor of what others start for the child outside
	// (a service manager, a container engine). From Linux 6.12 on, the child cannot send
	// signals to processes outside either; on older kernels it cannot mount.
	//
	// Inside, sudo and other set-user-ID programs give nobody other rights, and root has
	// no CAP_SYS_ADMIN, CAP_PERFMON, CAP_SYS_RAWIO, CAP_SYS_MODULE, CAP_NET_RAW or
	// CAP_NET_ADMIN. The child is started by means of ptrace, and nothing ends it when this
	// process dies, so Pdeathsig must be zero. It takes Linux 5.19 with Landlock; elsewhere it
	// is [errors.ErrUnsupported].
	Confine bool

	profile ingressauth.Profile // with its defaults
	input   *input              // nil without StdinPipe
	dir     *tokendir.Dir       // nil without File
	secret  *secret             // nil without Descriptor

	slot    chan struct{} // of one place; whoever is in it rotates
	ended   chan struct{} // closed after the child's end
	endOnce sync.Once
}

// Exec replaces this process by the program, which then has the token by Environment or
// Descriptor: nobody is left to rotate it, or to take a file away. Everything that was
// inherited stays as it is, the standard streams and this process's own directory
// included; of Command, only Path, Args, Env and Err count. It returns only after an
// error, which is as Start's.
func (c *Cmd) Exec() error {
	switch {
	case c.ended != nil:
		return errors.New("launch: already started")
	case c.Command == nil:
		return errNoCommand
	}
	// No other field is looked at.
	c.Command = &exec.Cmd{Path: c.Command.Path, Args: c.Command.Args, Env: c.Command.Env, Err: c.Command.Err}
	c.profile = c.Profile.WithDefaults()
	if err := c.exec(); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	return nil
}

// Start starts the child. It returns an error of the class [ingressauth.ErrNoToken] if
// there is no token, [errors.ErrUnsupported] for a delivery that this system does not
// have, or for Confine, and what [exec.Cmd.Start] returns. After an error there is nothing to wait for,
// and nothing is left behind.
//
// With File, directories that processes have left in the runtime directory that were killed
// are removed, where the system tells who is dead (not on Windows).
func (c *Cmd) Start() error {
	if c.ended != nil {
		return errors.New("launch: already started")
	}
	if c.Command == nil {
		return errNoCommand
	}
	c.profile = c.Profile.WithDefaults()
	c.slot, c.ended = make(chan struct{}, 1), make(chan struct{})
	err := c.start()
	if c.input != nil {
		c.input.other.Close()
	}
	if err != nil {
		return errors.Join(err, c.end())
	}
	return nil
}

func (c *Cmd) start() error {
	if err := c.check(); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	// Whoever prints the Command later is to find no token in it.
	env, files := c.Command.Env, c.Command.ExtraFiles
	defer func() { c.Command.Env, c.Command.ExtraFiles = env, files }()
	var err error
	if c.Command.Env, err = c.environment(); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	if c.delivers(Descriptor) {
		number, done, err := c.passSecret()
		if err != nil {
			return fmt.Errorf("launch: deliver by descriptor: %w", err)
		}
		defer done()
		c.set(c.profile.DescriptorVariable, fmt.Sprint(number))
	}
	if c.delivers(File) {
		if c.dir, err = c.newDir(); err == nil {
			err = c.dir.Write(c.Token)
		}
		if err != nil {
			return fmt.Errorf("launch: deliver by file: %w", err)
		}
		c.set(c.profile.FileVariable, c.dir.TokenPath())
	}
	if c.Confine {
		return startConfined(c.Command)
	}
	return startChild(c.Command, c.ended)
}

func (c *Cmd) check() error {
	if c.Token.IsZero() {
		return fmt.Errorf("%w to deliver", ingressauth.ErrNoToken)
	}
	if len(c.Deliver) == 0 {
		return errors.New("no delivery is named")
	}
	for _, d := range c.Deliver {
		if !slices.Contains([]Delivery{Environment, Descriptor, File}, d) {
			return fmt.Errorf("unknown delivery: it is none of %s, %s, %s", Environment, Descriptor, File)
		}
	}
	if c.Confine {
		if err := landlock.Available(); err != nil {
			return fmt.Errorf("confine the child: %w", err)
		}
	}
	return nil
}

func (c *Cmd) delivers(d Delivery) bool { return slices.Contains(c.Deliver, d) }

// StdinPipe returns a pipe that is connected to the child's standard input when it
// starts, and makes it the control channel: messages go among the lines that are written
// to it, each as a line of its own, and never inside another. It is called before Start,
// and takes the place of [exec.Cmd.StdinPipe]. The pipe is closed after the child's end,
// and by the caller for a child that waits for it. What is written to it may wait for
// the child to read.
//
// A child that takes its standard input for data, and not for lines among which there
// are messages, must not have one: connect [exec.Cmd.Stdin].
func (c *Cmd) StdinPipe() (io.WriteCloser, error) {
	if c.Command == nil {
		return nil, errNoCommand
	}
	switch {
	case c.ended != nil:
		return nil, errors.New("launch: StdinPipe after Start")
	case c.Command.Stdin != nil:
		return nil, errors.New("launch: Stdin already set")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Command.Stdin = r
	c.input = &input{Writer: control.Writer{Out: w}, pipe: w, other: r}
	return c.input, nil
}

// input is a child's standard input.
type input struct {
	control.Writer
	pipe  *os.File
	other *os.File // the child's end, closed in this process after the start
}

func (i *input) Close() error { return i.pipe.Close() }

// Rotate gives the running child another token, by these of its deliveries; none means
// all of them. The file is replaced whole; who reads it meanwhile finds one token or the
// other. For Environment and Descriptor a message is sent, in which a session key's
// organisation comes, too; that waits for the child to read, until the context ends, five
// seconds at most. Where one delivery fails the others are done all the same, and the
// error is all of theirs: it wraps [ErrNoChannel], [os.ErrProcessDone] after the end,
// or what files and pipes return.
func (c *Cmd) Rotate(ctx context.Context, t ingressauth.Token, by ...Delivery) error {
	if t.IsZero() {
		return fmt.Errorf("launch: %w to rotate to", ingressauth.ErrNoToken)
	}
	if c.ended == nil {
		return errNotStarted
	}
	if len(by) == 0 {
		by = c.Deliver
	}
	for _, d := range by {
		if !c.delivers(d) {
			return errors.New("launch: the child was not started with that delivery")
		}
	}
	select {
	case c.slot <- struct{}{}:
		defer func() { <-c.slot }()
	case <-ctx.Done():
		return fmt.Errorf("launch: wait for another rotation: %w", ctx.Err())
	}
	select {
	case <-c.ended:
		return fmt.Errorf("launch: %w", os.ErrProcessDone)
	default:
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // so that Wait need not wait for a message that nobody will read
		select {
		case <-c.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	var errs []error
	if slices.Contains(by, File) {
		if err := c.dir.Write(t); err != nil {
			errs = append(errs, fmt.Errorf("launch: replace the token file: %w", err))
		}
	}
	if slices.Contains(by, Environment) || slices.Contains(by, Descriptor) {
		if err := c.tell(ctx, t); err != nil {
			errs = append(errs, fmt.Errorf("launch: %w", err))
		}
	}
	err := errors.Join(errs...)
	select {
	case <-c.ended:
		if err != nil { // whatever else it says
			err = fmt.Errorf("launch: %w", os.ErrProcessDone)
		}
	default:
	}
	return err
}

// tell sends the message of a rotation.
func (c *Cmd) tell(ctx context.Context, t ingressauth.Token) error {
	if c.input == nil {
		return ErrNoChannel
	}
	variables := map[string]string{c.profile.TokenVariable: t.Reveal()}
	if t.Organization() != "" {
		variables[c.profile.OrganizationVariable] = t.Organization()
	}
	err := c.input.Update(ctx, variables)
	if errors.Is(err, os.ErrClosed) {
		return ErrNoChannel
	}
	return err
}

// Wait waits for the child's end and takes the token away: the file and its directory
// are gone, and so are this process's copies of the descriptor. It returns what
// [exec.Cmd.Wait] returns, joined with what went wrong there.
func (c *Cmd) Wait() error {
	if c.ended == nil {
		return errNotStarted
	}
	err := c.Command.Wait()
	if c.Command.Process == nil { // there was no child
		return err
	}
	if e := c.end(); e != nil {
		return errors.Join(err, fmt.Errorf("launch: take the token away: %w", e))
	}
	return err
}

// end takes away what Start has made.
func (c *Cmd) end() (err error) {
	c.endOnce.Do(func() {
		close(c.ended)
		c.slot <- struct{}{} // after the last rotation
		defer func() { <-c.slot }()
		if c.input != nil {
			c.input.Close()
		}
		if c.secret != nil {
			c.secret.other.Close() // a nil file takes it
		}
		if c.dir != nil {
			err = c.dir.Remove()
		}
	})
	return err
}
