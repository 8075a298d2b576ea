// Package landlock puts a thread, and what it starts from then on, into a Landlock domain of
// its own, so that the kernel keeps processes outside from being read by those inside: their
// environments, memory and open files, which /proc has, and ptrace. Nothing else of files is
// limited.
//
// To the kernel a thread is inside or outside, and not its process. A thread that is inside
// shares its memory with threads that are outside, and those inside can read that through it,
// as /proc/PID/task/TID. So nothing must run in a domain that a thread of a process with
// secrets is in.
package landlock
