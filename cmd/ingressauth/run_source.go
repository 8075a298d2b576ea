package main

import (
	"cmp"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/internal/jsonobject"
	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/internal/tokentext"
	"github.com/ingressauth/ingressauth/refresh"
	"github.com/spf13/cobra"
)

// Where a token comes from that run gets itself: before a colon.
const (
	fromCommand  = "command"
	fromEndpoint = "endpoint"
)

// sourceOptions say where a token comes from.
type sourceOptions struct {
	finder   finder
	from     fromFlag
	refresh  ageFlag
	source   string
	settings *sourceFile // of the file of source; nil before it is read
	once     bool        // nobody is left who could renew a token, or revoke it
}

// register adds their flags.
func (o *sourceOptions) register(cmd *cobra.Command) {
	o.from.kind = fromAnywhere
	o.finder.register(cmd)
	flags := cmd.Flags()
	flags.Var(&o.from, "from", "`where` the token comes from: "+o.from.Type())
	flags.Var(&o.refresh, "refresh", "renew a token from a command or an endpoint at this `age`, if not sooner: 90s, 15m, 1h30m")
	flags.StringVar(&o.source, "source", "", "read from this JSON `file` what there is to say of a command or an endpoint")
	cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions(append(o.from.words(), fromCommand+":", fromEndpoint+":"), cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	cmd.MarkFlagFilename("source", "json")
}

// check refuses what does not go together.
func (o *sourceOptions) check(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("source") && o.source == "":
		return usageError("--source needs the name of a file, and has an empty one (is a variable not set?)")
	case o.source == "" && o.refresh != 0 && !o.from.renews():
		return usageError("--refresh is for a token that " + cmd.Name() + " gets itself: --from " + fromCommand + ":COMMAND or --from " + fromEndpoint + ":URL")
	case o.source != "" && o.from.kind != fromAnywhere && !o.from.renews():
		return usageError("--source is about a command or an endpoint, and --from names another source")
	}
	return nil
}

// fromFlag is the value of --from: one of a few words, or one of two and what follows a colon.
type fromFlag struct {
	kind string
	rest string // what follows the colon

	apart bool // from the standard input of a command, so it is not control
}

var fromWords = []string{fromAnywhere, fromEnv, fromFD, fromFile, fromControl}

func (f *fromFlag) String() string { return f.kind }

// words returns those without a colon.
func (f *fromFlag) words() []string {
	if f.apart {
		return slices.DeleteFunc(slices.Clone(fromWords), func(word string) bool { return word == fromControl })
	}
	return slices.Clone(fromWords)
}

func (f *fromFlag) Type() string {
	return strings.Join(f.words(), ", ") + ", " + fromCommand + ":COMMAND, " + fromEndpoint + ":URL"
}

func (f *fromFlag) takes() string {
	return "one of " + f.Type() + `; no shell reads the command, so for what needs quotes, give its words in the member "command" of a --source file`
}

func (f *fromFlag) Set(s string) error {
	kind, rest, has := strings.Cut(s, ":")
	switch {
	case !has && slices.Contains(f.words(), s):
	case has && kind == fromCommand && strings.TrimSpace(rest) != "" && !strings.ContainsAny(rest, "'\"\\$`"):
	case has && kind == fromEndpoint && rest != "":
	default:
		return errors.New("unknown")
	}
	f.kind, f.rest = kind, rest
	return nil
}

// renews reports whether run gets the token itself.
func (f *fromFlag) renews() bool { return f.kind == fromCommand || f.kind == fromEndpoint }

// shortestAge is the least that package refresh takes.
const shortestAge = 10 * time.Millisecond

// ageFlag is the value of --refresh.
type ageFlag time.Duration

func (a *ageFlag) String() string { return "" }
func (a *ageFlag) Type() string   { return "age" }
func (a *ageFlag) takes() string {
	return fmt.Sprintf("how old a token gets, %v or more, as 90s, 15m or 1h30m", shortestAge)
}

func (a *ageFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < shortestAge {
		return errors.New("no age")
	}
	*a = ageFlag(d)
	return nil
}

// sourceFile is what is in the file of --source. The README has its members.
type sourceFile struct {
	From    string `json:"from"`
	Refresh string `json:"refresh"`

	Command []string `json:"command"`
	Inherit []string `json:"inherit"`
	Timeout string   `json:"timeout"`

	Subject            string            `json:"subject"`
	ClientID           string            `json:"client_id"`
	ClientSecretFile   string            `json:"client_secret_file"`
	ClientKeyFile      string            `json:"client_key_file"`
	ClientKeyID        string            `json:"client_key_id"`
	Issuer             string            `json:"issuer"`
	CertificateFile    string            `json:"certificate_file"`
	CertificateKeyFile string            `json:"certificate_key_file"`
	Parameters         map[string]values `json:"parameters"`
	RevocationURL      string            `json:"revocation_url"`
}

// resolver returns what finds the token that the command is to have. It changes the
// environment of this process, which is its own.
func (o *sourceOptions) resolver(cmd *cobra.Command) (*ingressauth.Resolver, error) {
	r, err := o.finder.resolver(cmd)
	if err != nil {
		return nil, err
	}
	p := r.Profile.WithDefaults()
	switch o.from.kind {
	case fromEnv:
		os.Unsetenv(p.DescriptorVariable)
		os.Setenv(p.FileVariable, "") // set to nothing, no file is read
	case fromFD:
		os.Unsetenv(p.TokenVariable)
		os.Setenv(p.FileVariable, "")
	case fromFile:
		os.Unsetenv(p.TokenVariable)
		os.Unsetenv(p.DescriptorVariable)
	}
	return r, nil
}

// rotates reports whether the token can be another one later.
func (o *sourceOptions) rotates() bool {
	return o.from.kind != fromEnv && o.from.kind != fromFD
}

// values is a string or a list of strings.
type values []string

// UnmarshalJSON reads it; [json.Unmarshaler].
func (v *values) UnmarshalJSON(b []byte) error {
	var one string
	if string(b) == "null" {
		return errors.New("neither a string nor a list of strings")
	}
	if json.Unmarshal(b, &one) == nil {
		*v = values{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(v))
}

const (
	maxSourceFile = 64 << 10
	maxSecretFile = 64 << 10
	// pipeTime is how long a file may take to end that is a pipe, of a program that decrypts
	// it, say.
	pipeTime = 30 * time.Second
)

// The values of the member "subject".
const (
	subjectSession = "session"
	subjectIssued  = "issued"
)

// readSourceFile reads the file of --source. Its errors show nothing that is in it but the
// names of members that are known.
func readSourceFile(path string) (*sourceFile, error) {
	text, err := readfile.OrPipe(path, maxSourceFile+1, pipeTime)
	if err != nil {
		return nil, err
	}
	if len(text) > maxSourceFile {
		return nil, fmt.Errorf("longer than %d bytes", maxSourceFile)
	}
	f := new(sourceFile)
	var members []jsonobject.Member
	for field, value := range reflect.ValueOf(f).Elem().Fields() {
		is := map[reflect.Kind]string{
			reflect.String: "a string", reflect.Slice: "a list of strings", reflect.Map: "an object of strings, or of lists of them",
		}[value.Kind()]
		members = append(members, jsonobject.Member{Name: field.Tag.Get("json"), Value: value.Addr().Interface(), Is: is})
	}
	return f, jsonobject.Read(text, members)
}

// secrets returns the files that hold what gets tokens.
func (f *sourceFile) secrets() []string {
	key := cmp.Or(f.CertificateKeyFile, f.CertificateFile) // which may have the key, too
	return slices.DeleteFunc([]string{f.ClientSecretFile, f.ClientKeyFile, key}, func(path string) bool { return path == "" })
}

// loadSource reads the file of --source, if there is one, and sets what the flags have left
// open. It is done once, as the file may be a pipe.
func (o *sourceOptions) loadSource() error {
	o.settings = new(sourceFile)
	if o.source == "" {
		return nil
	}
	f, err := readSourceFile(o.source)
	if err == nil {
		err = o.adopt(f)
	}
	if err != nil {
		return hinted{fmt.Errorf("--source: %w", err), `it is a JSON object such as {"command": ["helper", "two words"], "refresh": "15m"}`}
	}
	o.settings = f
	return nil
}

func (o *sourceOptions) adopt(f *sourceFile) error {
	var from fromFlag
	if f.From != "" && (from.Set(f.From) != nil || !from.renews()) {
		return errors.New("from: it takes " + fromCommand + ":COMMAND or " + fromEndpoint + ":URL")
	}
	var age ageFlag
	if f.Refresh != "" && age.Set(f.Refresh) != nil {
		return errors.New("refresh: it takes " + age.takes())
	}
	// Flags come first.
	o.refresh = cmp.Or(o.refresh, age)
	if o.from.kind == fromCommand {
		f.Command = nil
	} else if o.from.kind == fromAnywhere && f.From != "" {
		o.from = from
	}
	switch {
	case o.once && f.Refresh+f.RevocationURL != "":
		return errors.New("refresh and revocation_url: --exec leaves nobody who could do that")
	case len(f.Command) > 0 && o.from.kind == fromCommand:
		return errors.New("command: the command is also in from; leave out one of them")
	case len(f.Command) > 0 && o.from.kind == fromAnywhere:
		o.from.kind = fromCommand
	case len(f.Command) > 0:
		return errors.New("command: the token is not from a command")
	case !o.from.renews():
		return errors.New(`it says nothing of a command or an endpoint: give it "command", or "from"`)
	}
	return nil
}

// newSource returns what run gets the token from itself: a command, which is run by this, or
// an endpoint, whose subject is what the resolver finds.
func (o *sourceOptions) newSource(resolver *ingressauth.Resolver, run func(*exec.Cmd) error) (ingressauth.Source, error) {
	if o.from.kind == fromEndpoint {
		return o.newEndpointSource(resolver)
	}
	c, err := o.newCommandSource()
	if err != nil {
		return nil, err
	}
	c.Run, c.Log = run, resolver.Log
	return c, nil
}

func (o *sourceOptions) newCommandSource() (*refresh.Command, error) {
	f := o.settings
	if f.Subject+f.ClientID+f.ClientSecretFile+f.ClientKeyFile+f.ClientKeyID+f.Issuer+f.CertificateFile+f.CertificateKeyFile+f.RevocationURL != "" || f.Parameters != nil {
		return nil, errors.New("--source has members for an endpoint, and the token is from a command")
	}
	c := &refresh.Command{Args: f.Command, Inherit: f.Inherit}
	if len(c.Args) == 0 {
		c.Args = strings.Fields(o.from.rest)
	}
	if f.Timeout != "" {
		var err error
		if c.Timeout, err = time.ParseDuration(f.Timeout); err != nil || c.Timeout <= 0 {
			return nil, errors.New("--source: timeout: a duration, as 10s")
		}
	}
	return c, nil
}

func (o *sourceOptions) newEndpointSource(resolver *ingressauth.Resolver) (*refresh.Endpoint, error) {
	f := o.settings
	if f.Inherit != nil || f.Timeout != "" {
		return nil, errors.New("--source has members for a command, and the token is from an endpoint")
	}
	auth, err := f.clientAuth()
	if err != nil {
		return nil, fmt.Errorf("--source: %w", err)
	}
	e := &refresh.Endpoint{URL: o.from.rest, Auth: auth, RevocationURL: f.RevocationURL, Parameters: make(url.Values)}
	for name, value := range f.Parameters {
		e.Parameters[name] = value
	}
	switch f.Subject {
	case "":
		if auth == nil {
			return nil, errors.New(`an endpoint needs a --source with the client's id and secret, key or certificate, or with "subject"`)
		}
	case subjectSession, subjectIssued:
		e.Subject, e.Chain = resolver, f.Subject == subjectIssued
		if auth == nil && f.ClientID != "" {
			e.Parameters.Set("client_id", f.ClientID)
		}
	default:
		return nil, fmt.Errorf("--source: subject: it is %s (the session's own token each time) or %s (the token issued last)", subjectSession, subjectIssued)
	}
	return e, nil
}

// clientAuth returns how the client proves who it is, or nil if nothing is said of that.
func (f *sourceFile) clientAuth() (refresh.ClientAuth, error) {
	ways := 0
	for _, file := range []string{f.ClientSecretFile, f.ClientKeyFile, f.CertificateFile} {
		if file != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		return nil, errors.New("client_secret_file, client_key_file and certificate_file: a client has one of them")
	case ways == 1 && f.ClientID == "":
		return nil, errors.New("client_id: it is missing")
	case f.ClientKeyFile == "" && f.ClientKeyID+f.Issuer != "":
		return nil, errors.New("client_key_id and issuer: they go with client_key_file")
	case f.CertificateFile == "" && f.CertificateKeyFile != "":
		return nil, errors.New("certificate_key_file: it goes with certificate_file")
	case f.ClientSecretFile != "":
		return refresh.ClientSecretBasic(f.ClientID, func(context.Context) (string, error) {
			text, err := readSecret(f.ClientSecretFile)
			if err != nil {
				err = fmt.Errorf("client_secret_file: %w", err)
			}
			return tokentext.TrimSpace(string(text)), err
		}), nil
	case f.ClientKeyFile != "":
		key, err := readKey(f.ClientKeyFile)
		if err != nil {
			return nil, fmt.Errorf("client_key_file: %w", err)
		}
		return refresh.PrivateKeyJWT(f.ClientID, f.ClientKeyID, f.Issuer, key), nil
	case f.CertificateFile != "":
		load := func() (*tls.Certificate, error) {
			certificate, err := readSecret(f.CertificateFile)
			if err != nil {
				return nil, fmt.Errorf("certificate_file: %w", err)
			}
			key, err := readSecret(cmp.Or(f.CertificateKeyFile, f.CertificateFile))
			if err != nil {
				return nil, fmt.Errorf("certificate_key_file: %w", err)
			}
			pair, err := tls.X509KeyPair(certificate, key)
			if err != nil {
				return nil, errors.New("certificate_file: not a certificate and its private key, in PEM")
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		return refresh.TLSClientAuth(f.ClientID, func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }), nil
	}
	return nil, nil
}

// readSecret reads a file whose content is not shown.
func readSecret(path string) ([]byte, error) {
	text, _, err := readfile.Regular(path, maxSecretFile+1, nil)
	if errors.Is(err, readfile.ErrChanging) {
		err = nil // the next attempt has the whole
	}
	if err == nil && len(text) > maxSecretFile {
		err = fmt.Errorf("longer than %d KiB", maxSecretFile>>10)
	}
	return text, err
}

// readKey reads a private key in PEM: PKCS #8, or SEC 1, or PKCS #1.
func readKey(path string) (crypto.Signer, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("the private key is encrypted: decrypt it first")
		}
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default: // parameters of a curve, say
			continue
		}
		if signer, ok := key.(crypto.Signer); ok && err == nil {
			return signer, nil
		}
		return nil, errors.New("a private key that cannot be read")
	}
	return nil, errors.New("no private key in PEM is in it")
}
