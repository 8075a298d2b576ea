package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/spf13/cobra"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	environment                   string // whose tokens: these, or
	issuer                        string // these
	audiences, algorithms, claims []string
	jwks                          string
	require                       []string
	get                           string
	format                        *oneOf
}

func newVerify() *cobra.Command {
	var f verifyFlags
	cmd := command("verify", "Check who sent a token, and print its claims", `Check a token and print its claims as JSON, or with -o text for people. The
token is found as 'token' finds it, or is each line of standard input if the
argument is "-". There each line has a line of output: its claims, or {} (with
--get, or as text, an empty line) where the token is refused, which is said on
standard error. As text, claims are several lines, and then an empty one.

Whose tokens are good is said in one of two ways:

  ingressauth verify --environment ccpool_0123456789

is for Claude Code sessions in that self-hosted environment. Their keys are at
`+verify.ClaudeCodeKeysURL+`
or where --jwks says.

  ingressauth verify --issuer https://issuer.example --audience service \
      --jwks https://issuer.example/jwks.json

is for any other issuer of JWTs that live no longer than a day. Keys are read
once, from a file or by HTTPS (from this machine also by HTTP).

In a script, --require demands a value, and --get prints one and nothing else. A
PATH leads into the claims by names, and into arrays by numbers from 0: act.sub,
aud.0. In a name \. is a dot, \\ a backslash and \= an equals sign. A string is
compared as it is, a number or a boolean as it stands in the JSON.

Exit codes: 0 good, 1 something failed, such as getting the keys, 2 wrong usage, 3
no token, 4 a token is refused or is not what is required.`,
		func(cmd *cobra.Command, r *ingressauth.Resolver) error { return f.run(cmd, r) })
	cmd.Use += " [-]"
	cmd.Args = orDash
	f.register(cmd)
	return cmd
}

func (f *verifyFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.environment, "environment", "", "believe Claude Code sessions of the self-hosted environment with this `id`")
	flags.StringVar(&f.issuer, "issuer", "", "believe this issuer, the \"iss\" of its `name`")
	flags.StringArrayVar(&f.audiences, "audience", nil, "a `name` of this service, of which \"aud\" must have one; may be repeated")
	flags.StringArrayVar(&f.algorithms, "alg", nil, "an `algorithm` that the issuer signs with: "+algorithmNames()+" (default all); may be repeated")
	flags.StringArrayVar(&f.claims, "claim", nil, "a string that a claim must be, as `name=value`; may be repeated")
	flags.StringVar(&f.jwks, "jwks", "", "the issuer's keys, a JWK Set: a `file or URL`")
	flags.StringArrayVar(&f.require, "require", nil, "a value that the token must have, as `path=value`; may be repeated")
	flags.StringVar(&f.get, "get", "", "print the value at this `path`, and nothing else")
	f.format = addOutput(cmd, "json", "text")
	cmd.MarkFlagFilename("jwks", "json")
	cmd.RegisterFlagCompletionFunc("alg", cobra.FixedCompletions(strings.Split(algorithmNames(), ", "), cobra.ShellCompDirectiveNoFileComp))
}

var algorithms = []verify.Algorithm{verify.ES256, verify.EdDSA, verify.RS256}

func algorithmNames() string {
	var names []string
	for _, a := range algorithms {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}

func (f *verifyFlags) run(cmd *cobra.Command, r *ingressauth.Resolver) error {
	issuer, err := f.trusted(cmd)
	if err != nil {
		return err
	}
	requirements, err := parseRequirements(f.require)
	if err != nil {
		return err
	}
	var get path
	empty := showNone(f.format)
	if cmd.Flags().Changed("get") {
		p, _, more, err := parsePath(f.get)
		switch {
		case err != nil:
			return usageError("--get: " + err.Error())
		case f.get == "" || more:
			return usageError(`--get takes a path, in which an equals sign is \= (or is a variable not set?)`)
		case cmd.Flags().Changed("output"):
			return usageError("--get prints a value and nothing else: leave --output out")
		}
		get, empty = p, ""
	}
	var notes notes
	// When there is a token, and once for all.
	verifier := sync.OnceValues(func() (*verify.Verifier, error) {
		keys, err := loadKeys(cmd.Context(), cmp.Or(f.jwks, verify.ClaudeCodeKeysURL), slog.New(&notes))
		if err != nil {
			return nil, hinted{fmt.Errorf("the keys cannot be had: %w", err), "see what --jwks names, or whether its server can be reached from here"}
		}
		issuer.Keys = keys
		return verify.New(verify.Config{Issuers: []verify.Issuer{issuer}})
	})
	err = eachToken(cmd, r, empty, func(token string) (string, error) {
		v, err := verifier()
		if err != nil {
			return "", err
		}
		p, err := v.Verify(cmd.Context(), token)
		if err != nil {
			return "", f.withoutArguments(err)
		}
		var claims any
		if requirements != nil || get != nil {
			if claims, err = tree(p.Claims()); err != nil {
				return "", err
			}
		}
		if err := checkAll(requirements, claims); err != nil {
			return "", err
		}
		if get != nil {
			return get.text(claims)
		}
		return showClaims(f.format, p.Claims(), fromInput(cmd))
	})
	if err != nil {
		// A key that was left out may be why.
		for _, n := range notes {
			warn(cmd.ErrOrStderr(), n)
		}
	}
	return err
}

// withoutArguments returns a refusal without what --issuer and --claim say, which may be
// a token in the wrong place.
func (f *verifyFlags) withoutArguments(err error) error {
	if refusal, ok := errors.AsType[*verify.Refusal](err); ok && f.issuer != "" {
		return &verify.Refusal{Reason: refusal.Reason, Err: refusal.Err}
	}
	return err
}

// notes is a log that is kept.
type notes []string

func (n *notes) Enabled(context.Context, slog.Level) bool { return true }
func (n *notes) WithAttrs([]slog.Attr) slog.Handler       { return n }
func (n *notes) WithGroup(string) slog.Handler            { return n }

func (n *notes) Handle(_ context.Context, r slog.Record) error {
	*n = append(*n, r.Message)
	return nil
}

// trusted returns the issuer that the flags name, without its keys. It shows nothing
// that was typed.
func (f *verifyFlags) trusted(cmd *cobra.Command) (verify.Issuer, error) {
	for _, name := range []string{"environment", "issuer", "jwks"} {
		if flag := cmd.Flags().Lookup(name); flag.Changed && flag.Value.String() == "" {
			return verify.Issuer{}, usageError("--" + name + " has an empty value (is a variable not set?)")
		}
	}
	if f.environment != "" {
		if f.issuer != "" || f.audiences != nil || f.algorithms != nil || f.claims != nil {
			return verify.Issuer{}, usageError("--environment says all that is to be checked: leave --issuer, --audience, --alg and --claim out, or it")
		}
		issuer, err := verify.ClaudeCode(f.environment)
		if err != nil {
			return verify.Issuer{}, usageError("--environment: " + err.Error())
		}
		return issuer, nil
	}
	if f.issuer == "" || len(f.audiences) == 0 || f.jwks == "" {
		return verify.Issuer{}, usageError("say whose tokens are good: --environment, or --issuer, --audience and --jwks")
	}
	if slices.Contains(f.audiences, "") {
		return verify.Issuer{}, usageError("--audience has an empty value (is a variable not set?)")
	}
	issuer := verify.Issuer{Issuer: f.issuer, Audiences: f.audiences, Claims: map[string]string{}}
	for _, a := range f.algorithms {
		if !slices.Contains(algorithms, verify.Algorithm(a)) {
			return verify.Issuer{}, usageError("--alg takes one of " + algorithmNames())
		}
		issuer.Algorithms = append(issuer.Algorithms, verify.Algorithm(a))
	}
	claims, err := parsePairs("claim", f.claims)
	if err != nil {
		return verify.Issuer{}, err
	}
	for _, c := range claims {
		if other, twice := issuer.Claims[c[0]]; twice && other != c[1] {
			return verify.Issuer{}, usageError("--claim says two values for one claim, which no token has")
		}
		issuer.Claims[c[0]] = c[1]
	}
	return issuer, nil
}
