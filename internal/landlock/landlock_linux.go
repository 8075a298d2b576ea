package landlock

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Versions of what the kernel has.
const (
	// firstVersion is the first in which files can be moved and linked from one directory
	// to another inside a domain (Linux 5.19).
	firstVersion = 2
	// scopeVersion is the first with domains that say nothing of files (Linux 6.12).
	scopeVersion = 6
)

// Available returns an error if the kernel has no Landlock that is of use here. The error
// wraps [errors.ErrUnsupported].
func Available() error {
	_, err := version()
	return err
}

// version returns which Landlock the kernel has.
func version() (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno == unix.EOPNOTSUPP:
		return 0, fmt.Errorf("%w: Landlock is switched off in this kernel: add it to lsm= among what the kernel is started with", errors.ErrUnsupported)
	case errno == unix.ENOSYS:
		return 0, fmt.Errorf("%w: the kernel has no Landlock (5.19 and later have it, if it is switched on)", errors.ErrUnsupported)
	case errno != 0: // a filter of system calls, perhaps
		return 0, fmt.Errorf("%w: the kernel does not let this process use Landlock: %w", errors.ErrUnsupported, errno)
	case n < firstVersion:
		return 0, fmt.Errorf("%w: the kernel's Landlock is too old (5.19 and later have what is needed)", errors.ErrUnsupported)
	}
	return int(n), nil
}

// Do calls f on a thread that is in a new domain, and returns what f returns. The thread ends
// after that, but some time may pass.
func Do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked, so that it ends
		if isFirst() {
			// While it is locked, another goroutine is on another thread.
			defer runtime.UnlockOSThread()
			done <- Do(f)
			return
		}
		err := RestrictThread()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// isFirst reports whether this is the first thread of the process, which the runtime does not
// let end, and which counts where a process is named and not a thread.
func isFirst() bool { return unix.Gettid() == unix.Getpid() }

// RestrictThread puts the calling thread, which the caller has locked (runtime.LockOSThread),
// into a new domain within the one that it is in. There is no way back: the thread must be
// left to end with its goroutine. The first thread of a process, which does not, is refused. No
// set-user-ID program gives it, or what it starts, another user's rights from then on
// (no_new_privs).
//
// From Linux 6.12 on, those inside cannot send signals to those outside either. Before that,
// they cannot mount and unmount file systems, as always in domains that handle files.
//
// Root is kept inside as well, without the capabilities that lead past Landlock (bypasses), and
// so without mounting and raw sockets. But what root may write can have others start a program
// outside.
func RestrictThread() error {
	if isFirst() {
		return errors.New("this is the first thread of the process, which does not end: restrict another")
	}
	v, err := version()
	if err != nil {
		return err
	}
	return restrictThread(v)
}

func restrictThread(version int) error {
	ruleset, err := newRuleset(version)
	if err != nil {
		return err
	}
	defer unix.Close(ruleset)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	if err := dropBypasses(); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0)
	switch errno {
	case 0:
		return nil
	case unix.E2BIG:
		return errors.New("this process is in 16 Landlock domains, each in the one before, and the kernel allows no more: start fewer within each other")
	}
	return os.NewSyscallError("landlock_restrict_self", errno)
}

// bypasses are the capabilities with which the kernel shows what others hold without asking
// Landlock: for either of the first two newer kernels do so with environments in /proc, the next
// two give all memory, and the last two what is sent on this machine.
var bypasses = []int{
	unix.CAP_SYS_ADMIN, unix.CAP_PERFMON, unix.CAP_SYS_RAWIO, unix.CAP_SYS_MODULE, unix.CAP_NET_RAW, unix.CAP_NET_ADMIN,
}

// dropBypasses takes them from the thread. Since it can gain no privileges any more, no program
// that it starts as root has them either.
func dropBypasses() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // of 32 capabilities each
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return err
	}
	for _, c := range bypasses {
		set, bit := &sets[c/32], uint32(1)<<(c%32)
		set.Effective &^= bit
		set.Permitted &^= bit
		set.Inheritable &^= bit
	}
	return unix.Capset(&header, &sets[0])
}

// newRuleset returns a descriptor of a domain's rules. What they say is of no matter: a domain
// has to have some. The kernel gets as much of the structure as every version knows that has
// what is set in it.
func newRuleset(version int) (int, error) {
	if version >= scopeVersion {
		attr := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_SIGNAL}
		return createRuleset(&attr, unsafe.Offsetof(attr.Scoped)+unsafe.Sizeof(attr.Scoped))
	}
	// To move files from one directory to another is denied in every domain that has no rule
	// which allows it, so that is what the rules are about.
	attr := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_REFER}
	ruleset, err := createRuleset(&attr, unsafe.Sizeof(attr.Handled_access_fs))
	if err != nil {
		return 0, err
	}
	if err := allowBeneath(ruleset, "/", unix.LANDLOCK_ACCESS_FS_REFER); err != nil {
		unix.Close(ruleset)
		return 0, err
	}
	return ruleset, nil
}

func createRuleset(attr *unix.LandlockRulesetAttr, size uintptr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(attr)), size, 0)
	if errno != 0 {
		return 0, os.NewSyscallError("landlock_create_ruleset", errno)
	}
	return int(fd), nil
}

// allowBeneath adds a rule.
func allowBeneath(ruleset int, path string, access uint64) error {
	dir, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(dir)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(dir)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_add_rule", errno)
	}
	return nil
}
