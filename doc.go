// Package ingressauth is for programs that run inside an agent's session: what a
// session token is, and how it goes into a request.
package ingressauth
