//go:build !linux && !darwin && !freebsd

package ingressauth

import (
	"errors"
	"fmt"
	"runtime"
)

// errNoDescriptors is the honest answer of systems whose processes inherit no
// descriptors by number, or where nobody has tried it.
var errNoDescriptors = fmt.Errorf("descriptors cannot be read on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func inspectDescriptor(int) (descriptorKind, bool, error) { return "", false, errNoDescriptors }

func openDescriptor(int, descriptorKind, bool) (*descriptorReader, error) {
	return nil, errNoDescriptors
}

func describeDescriptor(int) (mode, owner string) { return "", "" }

func canReopen(int, descriptorKind) bool { return false }

func peekStream(int, descriptorKind) (int, bool, error) { return 0, false, errNoDescriptors }
