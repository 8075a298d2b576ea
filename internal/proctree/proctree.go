// Package proctree ends what descends from this process, which is to be the only one that
// does: it waits for children that it has not started. It is for programs that own their
// process, and no library.
package proctree
