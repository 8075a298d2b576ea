// Package broker keeps a session's token from the programs that need only its effect. A
// [Broker] is a proxy on this machine that holds the token and puts it on requests; the
// programs that use it, its children, hold at most a phantom: a random text that comes by the
// same ways as a token, is sent like one, and is worth something to this broker alone, while
// the child lives.
package broker
