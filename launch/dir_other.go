//go:build !unix

package launch

import "github.com/ingressauth/ingressauth/internal/tokendir"

func (c *Cmd) newDir() (*tokendir.Dir, error) { return tokendir.New() }
