//go:build !unix

package broker

import (
	"errors"
	"io/fs"
	"os"
)

// checkSocketDir refuses all, as nothing here says who could connect.
func checkSocketDir(fs.FileInfo) error { return errors.ErrUnsupported }

func lockDir(*os.Root) (unlock func(), err error) { return nil, errors.ErrUnsupported }
func isRefused(error) bool                        { return false }
