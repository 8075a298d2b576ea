package ingressauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// RPCCredentials attach the current token to each call of a gRPC connection. They
// are a PerRPCCredentials of google.golang.org/grpc/credentials, which this package
// does not import; pass them to grpc.WithPerRPCCredentials. gRPC refuses to send them
// over a connection that is not private.
//
// A stream keeps the token that it was begun with. They may be used by many
// goroutines at once; the fields must not be changed, and the value must not be
// copied, after its first use.
type RPCCredentials struct {
	// Source has the token. Nil means [Default].
	Source Source

	// Origins are the servers that get the token, as those of a [Transport]: scheme
	// https and the authority of the connection, which the server's certificate is
	// for. A call to another server fails. None is [ErrNoOrigins].
	Origins []string

	origins namedOrigins
}

// GetRequestMetadata returns the fields that carry the current token, with names in
// lower case. gRPC passes the URI of the service that is called, as in
// "https://service.example:8443/package.Service". Without a token the error is the
// source's, and the call fails.
func (c *RPCCredentials) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if err := c.origins.parse(c.Origins); err != nil {
		return nil, err
	}
	for _, s := range uri {
		if u, err := url.Parse(s); err != nil || c.origins.of(u) == nil {
			return nil, errors.New("the call is to a server that is not among RPCCredentials.Origins")
		}
	}
	if len(uri) == 0 {
		return nil, errors.New("the call does not say which server it is to")
	}
	token, err := tokenToAttach(ctx, sourceOr(c.Source))
	if err != nil {
		return nil, err
	}
	h := make(http.Header, 2)
	token.SetHeader(h)
	metadata := make(map[string]string, len(h))
	for name, values := range h {
		metadata[strings.ToLower(name)] = values[0]
	}
	return metadata, nil
}

// RequireTransportSecurity is true: gRPC then refuses connections that others can
// read.
func (c *RPCCredentials) RequireTransportSecurity() bool { return true }
