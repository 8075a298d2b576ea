package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/ingressauth/ingressauth"
)

// File is a token file that somebody else keeps fresh. Token returns what it holds: it is
// looked at once a millisecond at most, and read, believed and trusted as package ingressauth
// says of the token file. Renew waits for another token in it for a second.
//
// A [Refresher] is needed only by who wants to learn of new tokens: it looks at the file once a
// second, or its interval, and at each refusal. The fields must not be changed after the first
// use; the methods may be called concurrently.
type File struct {
	// Path is the absolute path of the file.
	Path string

	// Log is as that of a [ingressauth.Resolver].
	Log *slog.Logger

	start    sync.Once
	resolver *ingressauth.Resolver
}

// fileTime is how long Renew waits for another token, and how often a Refresher looks.
const fileTime = time.Second

// Token returns the token in the file; [ingressauth.Source].
func (f *File) Token(ctx context.Context) (ingressauth.Token, error) {
	t, err := f.resolve().Token(ctx)
	return t, f.explain(ctx, err)
}

// Renew returns another token than the refused one, if there is one within a second;
// [ingressauth.Renewer].
func (f *File) Renew(ctx context.Context, refused ingressauth.Token) (ingressauth.Token, error) {
	t, err := f.resolve().Renew(ctx, refused)
	return t, f.explain(ctx, err)
}

// resolve returns a resolver that finds the file and nothing else: the names of its variables
// are such as no environment can hold.
func (f *File) resolve() *ingressauth.Resolver {
	f.start.Do(func() {
		f.resolver = &ingressauth.Resolver{
			Profile: ingressauth.Profile{
				TokenVariable: "\x00token", DescriptorVariable: "\x00descriptor", FileVariable: "\x00file",
				RemoteVariable: "\x00remote", File: f.Path,
			},
			Log:       f.Log,
			RenewWait: fileTime,
		}
	})
	return f.resolver
}

// explain says why there is no token in the file, without those variables.
func (f *File) explain(ctx context.Context, err error) error {
	if !errors.Is(err, ingressauth.ErrNoToken) {
		return err
	}
	sources := f.resolver.Explain(ctx).Sources
	if file := sources[len(sources)-1]; !file.Found {
		return fmt.Errorf("%w: token file %s: %s", ingressauth.ErrNoToken, file.Name, file.Note)
	}
	return err
}

func (f *File) check() error {
	if !filepath.IsAbs(f.Path) {
		return errors.New("a File without an absolute Path")
	}
	return nil
}

func (f *File) every() time.Duration { return fileTime }
