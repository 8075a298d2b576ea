package tokendir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ingressauth/ingressauth/internal/access"
	"github.com/ingressauth/ingressauth/internal/readfile"
)

// sharedPrefix begins the names of directories for other users, where everybody's are.
const sharedPrefix = "ingressauth-session-"

// owner is a user who is not this one.
type owner struct{ uid, gid int }

// NewFor makes a directory for a child of another user: that user can enter it, and nobody else
// but root. It belongs to that user, and so does what is written in it. Only root can make it.
//
// It is in the directory for temporary files, since root's runtime directory is closed to that
// user. Those there whose owners are dead are removed, also what others have given such a name.
// As it is the user's, the user can lock it when we are dead: then it stays until the machine's
// next start.
func NewFor(uid, gid int) (*Dir, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can make a directory for another user: start this as root")
	}
	path, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		return nil, fmt.Errorf("directory for temporary files: %w: name another in TMPDIR", readfile.WithoutPath(err))
	}
	parent, err := openShared(path, owner{uid, gid})
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", path, readfile.WithoutPath(err))
	}
	sweep(parent, sharedPrefix)
	d, err := makeDir(parent, path, sharedPrefix)
	if err != nil {
		parent.Close()
		return nil, fmt.Errorf("directory %s: %w", path, readfile.WithoutPath(err))
	}
	// By now it is locked and has no file, and nobody but root can have done anything there.
	d.owner = &owner{uid, gid}
	if err := d.dir.Chown(".", uid, gid); err != nil {
		return nil, errors.Join(fmt.Errorf("give directory %s to user %d: %w", d.path, uid, readfile.WithoutPath(err)), d.Remove())
	}
	return d, nil
}

// openShared opens a directory in which nobody can replace what is another's, and that this user
// can get through.
func openShared(path string, o owner) (*os.Root, error) {
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat(".")
	if err == nil {
		err = checkShared(info, o.uid)
	}
	if err == nil {
		user := access.User{UID: o.uid, Groups: []int{o.gid}}
		if user.Reach(filepath.Join(path, "session")) != nil {
			err = fmt.Errorf("user %d cannot get through it, or through one above it: name another in TMPDIR", o.uid)
		}
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// sweepShared removes the directories for other users whose owners are dead, if it is up to us.
func sweepShared() {
	if os.Geteuid() != 0 {
		return
	}
	if parent, err := os.OpenRoot(os.TempDir()); err == nil {
		sweep(parent, sharedPrefix)
		parent.Close()
	}
}
