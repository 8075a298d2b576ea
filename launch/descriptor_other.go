//go:build !linux && !darwin && !freebsd

package launch

import (
	"errors"
	"os"
)

// secret is what there is none of here.
type secret struct{ other *os.File }

// passSecret says that children inherit no descriptors by number here.
func (c *Cmd) passSecret() (number int, done func(), err error) {
	return 0, nil, errors.ErrUnsupported
}
