// Command ingressauth finds the session token of the process that it runs in, makes
// request headers of it, and says who sent one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitNoToken = 3
	exitRefused = 4
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{Writer: stdout}
	ctx := context.Background()
	if len(args) > 0 && args[0] == supervise+strconv.Itoa(os.Getppid()) {
		ctx, args = context.WithValue(ctx, supervising{}, true), args[1:]
	}
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	executed, err := root.ExecuteContextC(ctx)
	if status, ok := errors.AsType[exitStatus](err); ok {
		return int(status)
	}
	if out.err != nil {
		err = hinted{fmt.Errorf("write standard output: %w", out.err), "see where standard output goes, and whether there is room"}
	}
	if err == nil {
		return 0
	}
	code, hint := judge(err)
	if executed.Name() == "run" {
		// One line, since the last ones may be shown to whoever waits for the command.
		if hint != "" {
			err = fmt.Errorf("%w (%s)", err, hint)
		}
		warn(stderr, err.Error())
	} else {
		complain(stderr, err, hint)
	}
	return code
}

// usageError is a call that the command line does not take.
type usageError string

func (e usageError) Error() string { return string(e) }

// hinted is an error that knows what to do about it.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// judge maps an error to an exit code and to what to do about it. It is the one
// place that does.
func judge(err error) (code int, hint string) {
	var usage usageError
	var failed *runError
	refusal, isRefusal := errors.AsType[*verify.Refusal](err)
	switch {
	case errors.As(err, &usage):
		code, hint = exitUsage, "run 'ingressauth --help', or a command with --help"
	case errors.Is(err, ingressauth.ErrNoToken):
		code, hint = exitNoToken, "run 'ingressauth status' to see what each source has, 'ingressauth token --help' to read where a token is looked for"
	case isRefusal && !isUnavailable(refusal), errors.As(err, new(requirementError)):
		code, hint = exitRefused, "'ingressauth decode' shows what a token says of itself"
	case errors.Is(err, errNoClaims):
		code, hint = exitFailed, "session keys and other opaque tokens have none"
	case errors.Is(err, errTooMuch):
		code, hint = exitFailed, "try the other --output, or 'ingressauth verify --get'"
	default:
		code, hint = exitFailed, "run 'ingressauth status' to see what each source has"
	}
	if errors.As(err, &failed) {
		if code != exitNoToken {
			hint = ""
		}
		code = failed.code
	}
	if own, ok := errors.AsType[hinted](err); ok {
		hint = own.hint
	}
	return code, hint
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ingressauth",
		Short: "Find this session's token, use it, and check it",
		Long: `ingressauth finds the session token of the process that it runs in: in an
environment variable, in an inherited file descriptor, or in a well-known file. It
runs commands that are to have the token, and checks tokens, for services and scripts
that are to believe them.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no token, 4 token refused; those of
'run' are its command's.`,
		Version:       version(),
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	// No templates are set, for the version say: with them the linker keeps every
	// exported method, 1.8 MB in all.
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newToken(), newHeaders(), newStatus(), newVerify(), newDecode(), newRun(), newBroker(), newDemo(), newDemoChild())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = knownCommand
		case "completion":
			cmd.Args = noArguments
			cmd.RunE = func(*cobra.Command, []string) error {
				return usageError("name a shell: ingressauth completion bash, fish, powershell or zsh")
			}
			for _, shell := range cmd.Commands() {
				shell.Args = noArguments
			}
		}
	}
	return root
}

// noArguments refuses arguments without showing them: one may be a token.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasParent():
		return usageError(cmd.CommandPath() + " takes no arguments (a token there would be seen by every user of this machine)")
	}
	message := "no such command"
	if near := cmd.SuggestionsFor(args[0]); args[0] != "" && len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError(message)
}

// knownCommand wants arguments that name a command.
func knownCommand(cmd *cobra.Command, args []string) error {
	if found, rest, err := cmd.Root().Find(args); err != nil || found == cmd.Root() && len(args) > 0 || len(rest) > 0 {
		return usageError("no such command")
	}
	return nil
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// finder is the flags that say how a token is found.
type finder struct {
	compat  bool
	profile string
}

func (f *finder) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.compat, "compat", false, "follow the rules and no more: no followed file, no successor of an expired token")
	cmd.Flags().StringVar(&f.profile, "profile", "", "read the names of variables and the path of the token file from this JSON `file`")
	cmd.MarkFlagFilename("profile", "json")
}

func (f *finder) resolver(cmd *cobra.Command) (*ingressauth.Resolver, error) {
	r := &ingressauth.Resolver{Compat: f.compat}
	if !cmd.Flags().Changed("profile") {
		return r, nil
	}
	if f.profile == "" {
		return nil, usageError("--profile needs the name of a file, and has an empty one (is a variable not set?)")
	}
	p, err := ingressauth.LoadProfile(f.profile)
	if err != nil {
		return nil, hinted{err, `a profile is a JSON object such as {"token_variable": "MY_TOKEN"}; what it leaves out has its default`}
	}
	r.Profile = p
	return r, nil
}

// command returns a command that takes no arguments and needs a resolver.
func command(use, short, long string, do func(cmd *cobra.Command, r *ingressauth.Resolver) error) *cobra.Command {
	var f finder
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.resolver(cmd)
			if err != nil {
				return err
			}
			return do(cmd, r)
		},
	}
	f.register(cmd)
	return cmd
}
