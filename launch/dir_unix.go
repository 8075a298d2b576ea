//go:build unix

package launch

import (
	"os"

	"github.com/ingressauth/ingressauth/internal/tokendir"
)

// newDir makes the directory of the child's file, which is another user's if the child is.
func (c *Cmd) newDir() (*tokendir.Dir, error) {
	if attr := c.Command.SysProcAttr; attr != nil && attr.Credential != nil && int(attr.Credential.Uid) != os.Geteuid() {
		return tokendir.NewFor(int(attr.Credential.Uid), int(attr.Credential.Gid))
	}
	return tokendir.New()
}
