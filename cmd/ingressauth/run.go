package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	patterns "path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ingressauth/ingressauth/launch"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Exit codes of run, besides those of its child.
const (
	exitRun           = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// runOptions are the flags of run.
type runOptions struct {
	sourceOptions
	deliver  deliveries
	scrub    []string
	onRotate rotateAction
	events   string
	exec     bool

	broker   brokerOptions
	brokered bool // the command is to have a phantom
	urlEnv   []string
	isolated bool // it is not started where it could read the token
	confine  bool
	user     string
	account  *account // of user; nil means ours
}

// Where a token comes from.
const (
	fromAnywhere = "auto"
	fromEnv      = "env"
	fromFD       = "fd"
	fromFile     = "file"
	fromControl  = "control"
)

// supervise, and the number of the process that says it, before all other arguments has run be the
// inner one of its two processes.
const supervise = "supervise:"

// supervising marks a context of that process.
type supervising struct{}

func newRun() *cobra.Command {
	o := &runOptions{onRotate: rotateAction{text: "none"}}
	var brokerFlags []string
	cmd := &cobra.Command{
		Use:                   "run [flags] -- COMMAND [ARGUMENT...]",
		DisableFlagsInUseLine: true,
		Short:                 "Run a command with the token, and replace it when it rotates",
		Long: fmt.Sprintf(`Start a command with this session's token, give it each new token while it runs, and
end what it has started when it ends.

The token comes --from where 'ingressauth token' finds it, from one of the places, or,
with control, from there and then from the lines on standard input that set it, which
the command gets, too. Or run gets it itself, and renews it before it ends: from a
command that prints one (command:HELPER --FLAG, without a shell), or from an OAuth 2.0
token endpoint (endpoint:URL). --refresh says how old such a token gets at most; what is
long (arguments with spaces; which client, and the files of its secret or key; the scope)
is in a --source file, a JSON object. While that fails, the last token stays, and
'ingressauth status' says so below.

It is delivered by file (the default: a rotation reaches every process that reads it),
in the environment (env) or by descriptor (fd). Rotations reach the latter two by lines
on the command's standard input, among those that are there, so give a command that
reads data there the file alone. Where standard input is a terminal, nothing is written
there.

Signals are passed on (%s). When the command ends, what it has started gets
SIGTERM, and after %v SIGKILL; a command that does not end on SIGTERM gets SIGKILL
as late. --on-rotate says what is done besides, when a token was replaced: none,
signal=NAME (signal=HUP), or restart.

With --deliver broker the command never has the token: run holds it, listens, and sends
the command's requests on to the --upstream with it. What the command has, by the other
ways in the list or else in its environment, is a phantom, which is worth something to
this broker alone, while the command runs. The broker's URL is in the variables of
--url-env, and takes the place of {url} in the command's arguments. --events and
'ingressauth status' say where the command could read the token all the same.

--events writes a line of JSON for all that happens, to a file or to an inherited
descriptor. --exec replaces ingressauth by the command, with the token in its
environment or a descriptor, and leaves all else as it is; then nobody rotates it.

Exit codes: those of the command, 128+n if signal n ended it, 2 wrong usage, 125
ingressauth failed, 126 the command cannot be executed, 127 it was not found.`,
			strings.Join(signalNames(), " "), graceTime),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return usageError(cmd.CommandPath() + " needs a command to run: ingressauth run [flags] -- COMMAND [ARGUMENT...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, brokerFlags); err != nil {
				return err
			}
			switch {
			case cmd.Context().Value(supervising{}) != nil:
				return o.supervise(cmd, args)
			case o.exec:
				return o.replace(cmd, args)
			}
			if err := o.checkEvents(); err != nil {
				return err
			}
			return guard(cmd, o, args)
		},
	}
	o.sourceOptions.register(cmd)
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows the command is its own
	flags.Var(&o.deliver, "deliver", "a `list` of ways to the command: "+o.deliver.Type()+" (default file; env with --exec)")
	flags.StringArrayVar(&o.scrub, "scrub", nil, "a variable that the command does not inherit, or a `pattern` such as AWS_*")
	flags.Var(&o.onRotate, "on-rotate", "an `action` after each rotation: "+o.onRotate.Type())
	flags.StringVar(&o.events, "events", "", "append a line of JSON for each event to this `file`, or to descriptor N: fd:N")
	flags.BoolVar(&o.exec, "exec", false, "replace this process by the command")
	brokerFlags = o.broker.register(cmd)
	flags.StringArrayVar(&o.urlEnv, "url-env", nil, "a `variable` that has the broker's URL; may be repeated")
	flags.BoolVar(&o.broker.required, "require-phantom", false, "have the command's processes need the phantom on Unix sockets, too")
	flags.BoolVar(&o.isolated, "require-isolated", false, "start nothing that could read the token elsewhere: exit with 125")
	flags.BoolVar(&o.confine, "confine", false, "keep the command from reading other processes (Landlock; set-user-ID programs such as sudo do not work in it)")
	flags.StringVar(&o.user, "user", "", "run the command as this `user`, a name or a number")
	brokerFlags = append(brokerFlags, "url-env", "require-phantom", "require-isolated", "confine", "user")
	cmd.RegisterFlagCompletionFunc("deliver", cobra.FixedCompletions([]string{"env", "fd", "file", "env,file", "broker"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("on-rotate", cobra.FixedCompletions([]string{"none", "signal=HUP", "restart"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check refuses what does not go together, and sets what depends on more than one flag.
func (o *runOptions) check(cmd *cobra.Command, brokerFlags []string) error {
	o.once = o.exec
	if err := o.sourceOptions.check(cmd); err != nil {
		return err
	}
	if err := o.checkBroker(cmd.Flags().Changed, brokerFlags); err != nil {
		return err
	}
	if o.brokered {
		if err := o.broker.check(cmd); err != nil {
			return err
		}
	}
	for _, pattern := range o.scrub {
		if _, err := patterns.Match(pattern, ""); err != nil || pattern == "" {
			return usageError("--scrub takes the name of a variable, or a pattern: * is any text, ? any character")
		}
	}
	if cmd.Flags().Changed("events") && o.events == "" {
		return usageError("--events needs the name of a file, and has an empty one (is a variable not set?)")
	}
	if o.from.kind == fromControl && isTerminal(os.Stdin) {
		return usageError("--from control reads lines that a program writes, and standard input is a terminal")
	}
	if len(o.deliver) == 0 {
		o.deliver = deliveries{launch.File}
		if o.exec {
			o.deliver = deliveries{launch.Environment}
		}
	}
	if !o.exec {
		return nil
	}
	for _, needs := range []struct {
		parent bool
		flag   string
	}{
		{o.from.kind == fromControl, "--from control"},
		{slices.Contains(o.deliver, launch.File), "--deliver file"},
		{o.onRotate.text != "none", "--on-rotate"},
		{o.refresh != 0, "--refresh"},
		{o.events != "", "--events"},
	} {
		if needs.parent {
			return usageError("--exec leaves nobody who could do what " + needs.flag + " asks for: leave out one of them")
		}
	}
	return nil
}

// deliveries is a flag's value that is a list of ways of delivery.
type deliveries []launch.Delivery

var allDeliveries = []string{string(launch.Environment), string(launch.Descriptor), string(launch.File), string(deliverBroker)}

func (d *deliveries) String() string { return "" }

func (d *deliveries) Type() string { return strings.Join(allDeliveries, ", ") }

func (d *deliveries) takes() string { return "a list, with commas, of " + d.Type() }

func (d *deliveries) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		if !slices.Contains(allDeliveries, word) {
			return errors.New("unknown")
		}
		if !slices.Contains(*d, launch.Delivery(word)) {
			*d = append(*d, launch.Delivery(word))
		}
	}
	return nil
}

// rotateAction is a flag's value that says what is done after a rotation.
type rotateAction struct {
	text    string
	signal  os.Signal // nil but for signal=NAME
	restart bool
}

func (a *rotateAction) String() string { return a.text }

func (a *rotateAction) Type() string { return "none, signal=NAME, restart" }

func (a *rotateAction) takes() string {
	return "one of " + a.Type() + "; the names are " + strings.Join(signalNames(), ", ")
}

func (a *rotateAction) Set(s string) error {
	*a = rotateAction{text: s}
	name, isSignal := strings.CutPrefix(s, "signal=")
	switch {
	case isSignal:
		if a.signal = passedOn[strings.TrimPrefix(name, "SIG")]; a.signal == nil {
			return errors.New("unknown")
		}
	case s == "restart":
		a.restart = true
	case s != "none":
		return errors.New("unknown")
	}
	return nil
}

// exitStatus is the exit code of a child, which is ours. It is no error of ours.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// runError is what is wrong with run itself, or with its command.
type runError struct {
	code int
	err  error
}

func (e *runError) Error() string { return e.err.Error() }
func (e *runError) Unwrap() error { return e.err }

// newCommand returns the command with its arguments, of the current directory, too, if PATH
// says so.
func newCommand(args []string) *exec.Cmd {
	command := exec.Command(args[0], args[1:]...)
	if errors.Is(command.Err, exec.ErrDot) {
		command.Err = nil
	}
	return command
}

// startError says what is wrong where a command could not be started. It shows neither
// its name nor its arguments, of which one may be a token.
func startError(name string, err error) error {
	var reason error
	if e, ok := errors.AsType[*exec.Error](err); ok { // PATH was searched
		reason = e.Err
	} else if e, ok := errors.AsType[*fs.PathError](err); ok {
		reason = e.Err
	}
	switch {
	case errors.Is(reason, exec.ErrNotFound) && isInPath(name):
		return &runError{exitNotExecutable, errors.New("command cannot be executed: the file in PATH is not executable")}
	case errors.Is(reason, exec.ErrNotFound):
		return &runError{exitNotFound, errors.New("command not found in PATH")}
	case errors.Is(reason, fs.ErrNotExist):
		return &runError{exitNotFound, errors.New("command not found, or the interpreter that its first line names")}
	case isNotExecutable(reason):
		return &runError{exitNotExecutable, fmt.Errorf("command cannot be executed: %w", reason)}
	case reason != nil:
		return &runError{exitRun, fmt.Errorf("command cannot be started: %w", reason)}
	}
	return &runError{exitRun, err}
}

// isInPath reports whether there is such a file in PATH, executable or not.
func isInPath(name string) bool {
	return slices.ContainsFunc(filepath.SplitList(os.Getenv("PATH")), func(dir string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular()
	})
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
