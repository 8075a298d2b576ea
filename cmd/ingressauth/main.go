// Command ingressauth finds the session token of the process that it runs in, and
// makes request headers of it.
package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime/debug"

	"github.com/ingressauth/ingressauth"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitNoToken = 3
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	var ours failure
	var file *fs.PathError
	if !errors.As(err, &ours) && !errors.As(err, &file) {
		err = withoutArguments(err, args)
	}
	code, hint := judge(err)
	complain(stderr, err, hint)
	return code
}

// usageError is a call that the command line does not take.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// failure is any error of a command that has begun.
type failure struct{ error }

func (e failure) Unwrap() error { return e.error }

func failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

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
	var own hinted
	switch {
	case errors.As(err, &usage):
		return exitUsage, "run 'ingressauth --help', or a command with --help"
	case errors.Is(err, ingressauth.ErrNoToken):
		return exitNoToken, "run 'ingressauth status' to see where it looked; see 'ingressauth token --help' for the places"
	case errors.As(err, &own):
		return exitFailed, own.hint
	default:
		return exitFailed, "run 'ingressauth status' to see what each source has"
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ingressauth",
		Short: "Find this session's token and use it",
		Long: `ingressauth finds the session token of the process that it runs in: in an
environment variable, in an inherited file descriptor, or in a well-known file.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no token.`,
		Version:       version(),
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddCommand(newToken(), newHeaders(), newStatus(), newDemo(), newDemoChild())
	return root
}

// noArguments refuses arguments without showing them: one may be a token.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasParent():
		return usageError{errors.New(cmd.CommandPath() + " takes no arguments (a token there would be seen by every user of this machine)")}
	}
	message := "no such command"
	for _, s := range cmd.SuggestionsFor(args[0]) {
		message += "; did you mean " + s + "?"
	}
	return usageError{errors.New(message)}
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
	cmd.Flags().BoolVar(&f.compat, "compat", false, "find what other clients find: no followed file, no successor of an expired token")
	cmd.Flags().StringVar(&f.profile, "profile", "", "read the names of variables and the path of the token file from this JSON `file`")
	cmd.MarkFlagFilename("profile", "json")
}

func (f *finder) resolver() (*ingressauth.Resolver, error) {
	r := &ingressauth.Resolver{Compat: f.compat}
	if f.profile != "" {
		p, err := ingressauth.LoadProfile(f.profile)
		if err != nil {
			return nil, hinted{err, `a profile is a JSON object such as {"token_variable": "MY_TOKEN"}; what it leaves out has its default`}
		}
		r.Profile = p
	}
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
			r, err := f.resolver()
			if err == nil {
				err = do(cmd, r)
			}
			return failed(err)
		},
	}
	f.register(cmd)
	return cmd
}
