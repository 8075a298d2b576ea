package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/local"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// gRPC takes them by structure.
var _ credentials.PerRPCCredentials = (*ingressauth.RPCCredentials)(nil)

// rpcServer is a real server with TLS that notes the credentials of each call.
type rpcServer struct {
	address string
	client  credentials.TransportCredentials

	lock sync.Mutex
	got  []string
}

func newRPCServer(t *testing.T) *rpcServer {
	t.Helper()
	// A certificate that was made for this run.
	web := httptest.NewTLSServer(nil)
	certificate, root := web.TLS.Certificates[0], web.Certificate()
	web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(root)
	s := &rpcServer{client: credentials.NewTLS(&tls.Config{RootCAs: roots})}
	note := func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		s.lock.Lock()
		defer s.lock.Unlock()
		var fields []string
		for _, name := range []string{"authorization", "cookie", "x-organization-uuid"} {
			fields = append(fields, md[name]...)
		}
		s.got = append(s.got, strings.Join(fields, " "))
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)),
		grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			note(ctx)
			return handle(ctx, r)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			note(stream.Context())
			return handle(srv, stream)
		}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return s
}

func (s *rpcServer) dial(t *testing.T, c *ingressauth.RPCCredentials) healthpb.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(s.client), grpc.WithPerRPCCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return healthpb.NewHealthClient(conn)
}

// TestRPC has calls and streams on one connection, across a rotation.
func TestRPC(t *testing.T) {
	server, resolver := newRPCServer(t), newResolver(t, "first")
	client := server.dial(t, &ingressauth.RPCCredentials{Source: resolver, Origins: []string{"https://" + server.address}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	call := func() {
		t.Helper()
		if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	stream := func() {
		t.Helper()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	call()
	stream()
	update(t, resolver, "second")
	call()
	stream()
	if err := resolver.UpdateVariables(map[string]string{
		resolver.Profile.TokenVariable: "sk-ant-sid-third", resolver.Profile.OrganizationVariable: "organisation",
	}); err != nil {
		t.Fatal(err)
	}
	call()
	server.lock.Lock()
	defer server.lock.Unlock()
	want := []string{"Bearer first", "Bearer first", "Bearer second", "Bearer second", "sessionKey=sk-ant-sid-third organisation"}
	if diff := cmp.Diff(want, server.got); diff != "" {
		t.Errorf("the server got (-want +got):\n%s", diff)
	}
}

// TestRPCRefuses has calls that may not carry the token, or have none.
func TestRPCRefuses(t *testing.T) {
	server, resolver := newRPCServer(t), newResolver(t, "secret-token")
	none := newResolver(t, "secret-token")
	none.Profile.TokenVariable = "TEST_INTEROP_UNSET"
	service := []string{"https://" + server.address}
	for _, tt := range []struct {
		name string
		c    *ingressauth.RPCCredentials
		says string
	}{
		{"no origins", &ingressauth.RPCCredentials{Source: resolver}, ingressauth.ErrNoOrigins.Error()},
		{"another origin", &ingressauth.RPCCredentials{Source: resolver, Origins: []string{"https://127.0.0.1:1"}}, "not among"},
		{"another scheme", &ingressauth.RPCCredentials{Source: resolver, Origins: []string{"http://" + server.address}}, "not among"},
		{"no token", &ingressauth.RPCCredentials{Source: none, Origins: service}, ingressauth.ErrNoToken.Error()},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := server.dial(t, tt.c).Check(ctx, &healthpb.HealthCheckRequest{})
		if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if len(server.got) > 0 {
		t.Errorf("the server got %q", server.got)
	}
	good := &ingressauth.RPCCredentials{Source: resolver, Origins: service}
	if _, err := good.GetRequestMetadata(t.Context()); err == nil {
		t.Error("without a URI: no error")
	}
	if _, err := grpc.NewClient(server.address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(good)); err == nil {
		t.Error("gRPC sends them over an insecure connection")
	}
	// Local credentials are insecure over TCP, which shows when they are used.
	conn, err := grpc.NewClient("passthrough:///"+server.address, grpc.WithTransportCredentials(local.NewCredentials()), grpc.WithPerRPCCredentials(good))
	if err != nil {
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); err == nil {
		t.Error("gRPC sends them over a connection without TLS")
	}
}
