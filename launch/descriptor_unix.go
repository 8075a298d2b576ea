//go:build linux || darwin || freebsd

package launch

import (
	"errors"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Descriptors that a child can be given: 0 to 2 are the standard streams, and shells such
// as dash name no descriptor of two digits.
const (
	firstDescriptor = 3
	lastDescriptor  = 9
)

var errNoNumber = errors.New("the child has other uses for all descriptors from 3 to 9: close one")

// passSecret has the child inherit a file with the token, and returns under which number.
// The function that it returns closes, after the start, what the child alone needs.
func (c *Cmd) passSecret() (number int, done func(), err error) {
	files := slices.Clone(c.Command.ExtraFiles)
	var copies []*os.File
	closeCopies := func() {
		for _, f := range copies {
			f.Close()
		}
	}
	defer func() {
		if err != nil {
			closeCopies()
		}
	}()
	for number = firstDescriptor; ; number++ {
		if number > lastDescriptor {
			return 0, nil, errNoNumber
		}
		i := number - firstDescriptor
		if i < len(files) {
			if files[i] == nil { // which the child would have closed
				break
			}
			continue
		}
		files = append(files, nil)
		if !inherited(number) {
			break
		}
		// It would stay where it is by itself, but that a list which is longer closes it.
		f, err := duplicate(number)
		if err != nil {
			return 0, nil, err
		}
		copies, files[i] = append(copies, f), f
	}
	s, err := newSecret(c.Token.Reveal())
	if err != nil {
		return 0, nil, err
	}
	c.secret = s
	copies = append(copies, s.File)
	files[number-firstDescriptor] = s.File
	c.Command.ExtraFiles = files
	return number, closeCopies, nil
}

// inherited reports whether a child that is started now inherits this descriptor of this
// process. Files that Go opens it does not.
func inherited(number int) bool {
	flags, err := unix.FcntlInt(uintptr(number), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// duplicate returns another descriptor of the same open file, since an os.File closes its
// own some day.
func duplicate(number int) (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("duplicate an inherited descriptor", err)
	}
	return os.NewFile(uintptr(fd), "inherited"), nil
}

// secret is a file from which the token can be read.
type secret struct {
	*os.File          // a memfd, or one end of a pipe
	other    *os.File // of a pipe, which is to be closed after the child's end; nil for a memfd
	written  chan struct{}
}

func newSecret(text string) (*secret, error) {
	written := make(chan struct{})
	if f, err := newMemfd(text); err == nil {
		close(written)
		return &secret{f, nil, written}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() { // a pipe may have no room for all of it
		io.WriteString(w, text)
		w.Close()
		close(written)
	}()
	return &secret{r, w, written}, nil
}
