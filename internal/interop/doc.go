// Package interop tests the library against those that its users use it with, gRPC and
// WebSockets; and package verify against three libraries that verify the same tokens,
// and against programs in other languages that sign and verify them. It is a module of
// its own, so that importers of the library do not get theirs.
package interop
