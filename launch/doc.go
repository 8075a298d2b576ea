// Package launch starts a program with a session token, tells it of rotations while it
// runs, and takes the token away when it ends.
//
//	cmd := &launch.Cmd{
//		Command: exec.Command("agent", "--verbose"),
//		Token:   token,
//		Deliver: []launch.Delivery{launch.File},
//	}
//	err := cmd.Start()
//	...
//	err = cmd.Rotate(ctx, next)
//	...
//	err = cmd.Wait()
//
// # Which delivery
//
// [File] is the one to begin with: rotations reach every process that reads the file,
// also those that the child starts, and the token stands in no process's environment.
// [Environment] is for programs that know nothing but the variable; a rotation reaches
// them if they read the control channel on their standard input (package
// [github.com/ingressauth/ingressauth/control]). [Descriptor] is for programs that are to
// have the token in no variable and no file. A child may have several at once, and then
// takes the first that it finds, in the order of the rules: environment, descriptor, file.
//
// # What the child has besides
//
// Everything that it would have by package os/exec, where it would have it: variables in
// their order, arguments, the standard streams, the descriptors that this process has
// inherited, under their numbers. It does not have the variables that would lead past a
// delivery to an older token: the token and the descriptor variable, unless they are
// delivered. The token is never in an argument.
//
// # What is left to the caller
//
// The package starts one process and waits for that one alone. It makes no subreaper of
// this process, catches no signal, and kills nobody but, where the system can do so by
// itself (Linux, FreeBSD), the child of a process that has died. The command "ingressauth
// run" is for those who want a child's descendants ended, too.
package launch
