// Package verifygrpc guards the methods of a gRPC server as [verify.Guard] guards the
// handlers of an HTTP server. It is a module of its own, so that only who imports it has
// gRPC among what is built and checked.
//
// The interceptors ask [verify.Guard.Decide], so that a caller gets the same answer here as
// there. They present each call as the HTTP request that it is: a POST of the method's path,
// such as /package.Service/Method, with the metadata as header. Credentials are those of
// "authorization", or of "cookie" and "x-organization-uuid".
//
// A method gets the principal from its context by [verify.PrincipalFrom]. Who is refused
// gets the reason as message, and the code [codes.Unauthenticated], [codes.PermissionDenied]
// or [codes.Unavailable], the last of which says to come again.
//
// A server needs both interceptors: with one, methods of the other kind are not guarded. They
// are asked for all of its services. Where one of them, such as a
// health check, is for everybody, call the interceptor from one that lets that one pass.
package verifygrpc

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/ingressauth/ingressauth/verify"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// UnaryServerInterceptor returns an interceptor that has methods answer those who may pass.
func UnaryServerInterceptor(g *verify.Guard) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		ctx, err := admit(ctx, g, info.FullMethod)
		if err != nil {
			return nil, err
		}
		return handle(ctx, request)
	}
}

// StreamServerInterceptor does that for streams. It decides when one begins: a stream may
// last longer than the credential that it began with.
func StreamServerInterceptor(g *verify.Guard) grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		ctx, err := admit(stream.Context(), g, info.FullMethod)
		if err != nil {
			return err
		}
		return handle(server, &guardedStream{stream, ctx})
	}
}

// guardedStream is a stream whose context has the principal.
type guardedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *guardedStream) Context() context.Context { return s.ctx }

// admit returns the context of a call with its principal, or the error that answers it.
func admit(ctx context.Context, g *verify.Guard, method string) (context.Context, error) {
	p, refusal := g.Decide(requestOf(ctx, method))
	switch {
	case refusal != nil && ctx.Err() != nil: // nobody waits for an answer any more
		return nil, status.FromContextError(ctx.Err()).Err()
	case refusal != nil:
		return nil, status.Error(codeOf(refusal), string(refusal.Reason))
	}
	return verify.WithPrincipal(ctx, p), nil
}

func codeOf(r *verify.Refusal) codes.Code {
	switch r.Status() {
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	}
	return codes.Unauthenticated
}

// requestOf returns the request that a call is.
func requestOf(ctx context.Context, method string) *http.Request {
	r := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: method}, RequestURI: method,
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: make(http.Header), Body: http.NoBody,
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for name, values := range md {
		switch {
		case name == ":authority" && len(values) > 0:
			r.Host = values[0]
		case !strings.HasPrefix(name, ":"):
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if p, ok := peer.FromContext(ctx); ok {
		if p.Addr != nil {
			r.RemoteAddr = p.Addr.String()
		}
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			r.TLS = &info.State
		}
	}
	return r.WithContext(ctx)
}
