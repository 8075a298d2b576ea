// Package interop tests the library against those that its users use it with: gRPC
// and WebSockets. It is a module of its own, so that importers of the library do not
// get theirs.
package interop
