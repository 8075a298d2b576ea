package refresh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/tokentext"
)

// Command is a program that prints a token: its whole standard output is the token, with white
// space around it or without. Token and Renew run it, each time; what is refused is not told to
// it. The fields must not be changed while they are called; they may be called concurrently.
//
// It is started without a shell. Its standard input is empty, and on Unix it has no terminal. Its
// environment is a few variables and Inherit, and nothing else, so that it gets no token by
// accident. What it prints on standard error goes to Log, and the last line of that, if it fails,
// into the error, both with whatever looks like a token masked.
//
// It succeeds if its exit code is 0; with that, and no output, there is no token
// ([ingressauth.ErrNoToken]). Where the time is over, or the context ends, it is killed, on Unix
// with its process group; so is what it leaves there when it fails. What it leaves when it succeeds
// lives on, and is not waited for.
type Command struct {
	// Args are the program, which is searched for in PATH if it has no slash in it, and its
	// arguments.
	Args []string

	// Inherit are the names of variables that it inherits besides PATH, HOME, USER, TMPDIR,
	// LANG, LC_ALL and TZ, and on Windows SYSTEMROOT and USERPROFILE.
	Inherit []string

	// Timeout is how long it may take. 0 means 30 seconds; a minute is the most.
	Timeout time.Duration

	// Log is told what it prints on standard error: at the level warn where it fails, and
	// has printed more than a line, else debug. Nil means that nothing is logged.
	Log *slog.Logger

	// Run runs it, as (*exec.Cmd).Run does, which nil means. It is for programs that wait
	// for all of their children themselves.
	Run func(*exec.Cmd) error
}

const (
	commandTimeout = 30 * time.Second
	// pipeTime is how long is waited for who has inherited its output after its end.
	pipeTime = time.Second
	// killTime is how long is waited for it after it was killed: what hangs in the kernel
	// does not die, and another user's cannot be. It is left then.
	killTime = 5 * time.Second
	// maxStderr is how much of its standard error is kept, in bytes: the last.
	maxStderr = 4 << 10
)

var inherited = []string{"PATH", "HOME", "USER", "TMPDIR", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "USERPROFILE"}

var errTooLong = fmt.Errorf("its output is no token: %w", tokentext.ErrTooLong)

// Token returns what the program prints; [ingressauth.Source].
func (c *Command) Token(ctx context.Context) (ingressauth.Token, error) {
	t, err := c.run(ctx)
	if err != nil {
		return ingressauth.Token{}, fmt.Errorf("run token command: %w", err)
	}
	return t, nil
}

// Renew returns what the program prints, unless that is the refused token;
// [ingressauth.Renewer].
func (c *Command) Renew(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	t, err := c.Token(ctx)
	if err == nil && sameText(t, refused) {
		return ingressauth.Token{}, errRefused
	}
	return t, err
}

func (c *Command) check() error {
	switch {
	case len(c.Args) == 0 || c.Args[0] == "":
		return errors.New("a Command without Args")
	case c.Timeout < 0 || c.Timeout > attemptTime:
		return fmt.Errorf("a Command with a Timeout that is negative, or more than %v", attemptTime)
	}
	return nil
}

func (c *Command) run(ctx context.Context) (ingressauth.Token, error) {
	if err := c.check(); err != nil {
		return ingressauth.Token{}, err
	}
	timeout := cmp.Or(c.Timeout, commandTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %v", timeout))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	out := &bounded{most: tokentext.Max + 1, full: func() { stop(errTooLong) }}
	errs := &bounded{most: maxStderr, last: true}
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = c.environment()
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.WaitDelay = pipeTime
	ownSession(cmd)
	run := c.Run
	if run == nil {
		run = (*exec.Cmd).Run
	}
	ran := make(chan error, 1)
	go func() { ran <- run(cmd) }()
	var err error
	select {
	case err = <-ran:
	case <-ctx.Done():
		select {
		case err = <-ran:
		case <-time.After(killTime):
			return ingressauth.Token{}, fmt.Errorf("%w, nor %v later, when it was to be killed", context.Cause(ctx), killTime)
		}
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) && cmd.Process != nil {
		cmd.Cancel() // what it has started, too
	}
	t, err := c.outcome(ctx, out, err)
	if said := c.report(errs, out, err); err != nil && said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return t, err
}

// outcome is the token, or why there is none. It shows neither a name nor an argument, of which
// one may be a token.
func (c *Command) outcome(ctx context.Context, out *bounded, err error) (ingressauth.Token, error) {
	exit, exited := errors.AsType[*exec.ExitError](err)
	switch {
	case len(out.kept) > tokentext.Max:
		return ingressauth.Token{}, errTooLong
	case errors.Is(err, exec.ErrWaitDelay): // it has ended well, and left somebody behind
	case ctx.Err() != nil && err != nil:
		return ingressauth.Token{}, context.Cause(ctx)
	case exited:
		return ingressauth.Token{}, fmt.Errorf("%v", exit.ProcessState)
	case err != nil:
		return ingressauth.Token{}, startError(err)
	}
	text, err := tokentext.Decode(out.kept)
	if err != nil {
		return ingressauth.Token{}, fmt.Errorf("its output is no token: %w", err)
	}
	if text == "" {
		return ingressauth.Token{}, fmt.Errorf("%w: it printed nothing", ingressauth.ErrNoToken)
	}
	return newToken(text)
}

// startError says why a program could not be started, without its name.
func startError(err error) error {
	if e, ok := errors.AsType[*exec.Error](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// environment returns the variables that it inherits.
func (c *Command) environment() []string {
	environ := []string{}
	for _, name := range slices.Concat(inherited, c.Inherit) {
		if value, ok := os.LookupEnv(name); ok {
			environ = append(environ, name+"="+value)
		}
	}
	return environ
}

// report logs what it printed on standard error, without what may be a token, and returns the last
// line of that.
func (c *Command) report(errs, out *bounded, err error) string {
	text := errs.kept
	if errs.cut {
		text = fromWord(text)
	}
	said := strings.ToValidUTF8(string(bytes.TrimSpace(text)), "\uFFFD")
	said = tokentext.Mask(said, tokentext.TrimSpace(string(out.kept)))
	last := said[strings.LastIndexByte(said, '\n')+1:]
	if said != "" && c.Log != nil {
		level := slog.LevelDebug
		if err != nil && said != last {
			level = slog.LevelWarn
		}
		c.Log.Log(context.Background(), level, "the token command says on standard error", "text", said)
	}
	return printable(last)
}

// fromWord returns text from the beginning of its first whole line, or else word, since half a
// token may not look like one.
func fromWord(text []byte) []byte {
	if _, rest, _ := bytes.Cut(text, []byte("\n")); len(bytes.TrimSpace(rest)) > 0 {
		return rest
	}
	if _, rest, ok := bytes.Cut(text, []byte(" ")); ok {
		return append([]byte("... "), rest...)
	}
	return []byte("(a long word)")
}

// bounded keeps what is written to it, up to a bound: the first, or the last of it.
type bounded struct {
	kept []byte
	most int
	last bool
	cut  bool   // something was dropped
	full func() // is called when there is more than the first; may be nil
}

func (b *bounded) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p...)
	n := len(b.kept) - b.most
	if n <= 0 {
		return len(p), nil
	}
	b.cut = true
	if b.last {
		b.kept = append(b.kept[:0], b.kept[n:]...)
		return len(p), nil
	}
	b.kept = b.kept[:b.most]
	b.full()
	return len(p), nil
}
