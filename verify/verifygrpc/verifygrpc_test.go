package verifygrpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifygrpc"
	"github.com/ingressauth/ingressauth/verify/verifytest"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const environment = "ccpool_01test"

// service answers both kinds of call with the principal's session, as an unknown service
// that is not found, so that no protocol has to be generated for it.
type service struct {
	healthpb.UnimplementedHealthServer
}

func (service) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return nil, helloTo(ctx)
}

func (service) Watch(_ *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	return helloTo(stream.Context())
}

func helloTo(ctx context.Context) error {
	p, ok := verify.PrincipalFrom(ctx)
	return status.Error(codes.NotFound, fmt.Sprint("hello ", p.Session, ok))
}

// world is a real server over TLS and a client of it.
type world struct {
	signer  *verifytest.Signer
	guard   *verify.Guard
	refused []verify.Reason
	last    *http.Request // that was refused, as the guard saw it
	address string
	tls     credentials.TransportCredentials
}

func newWorld(t *testing.T, policy verify.Policy) *world {
	t.Helper()
	w := &world{signer: verifytest.NewSigner(verify.ES256, "1")}
	keys, err := verify.NewKeySet(verifytest.JWKS(w.signer.JWK()), nil)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := verify.ClaudeCode(environment)
	if err != nil {
		t.Fatal(err)
	}
	issuer.Keys = keys
	verifier, err := verify.New(verify.Config{Issuers: []verify.Issuer{issuer}, SessionKeys: sessionKeys{}})
	if err != nil {
		t.Fatal(err)
	}
	w.guard = &verify.Guard{Verifier: verifier, Policy: policy, OnRefusal: func(r *http.Request, refusal *verify.Refusal) {
		w.refused, w.last = append(w.refused, refusal.Reason), r
	}}

	web := httptest.NewTLSServer(nil) // for a certificate that was made for this run
	certificate, root := web.TLS.Certificates[0], web.Certificate()
	web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(root)
	w.tls = credentials.NewTLS(&tls.Config{RootCAs: roots})
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)),
		grpc.UnaryInterceptor(verifygrpc.UnaryServerInterceptor(w.guard)),
		grpc.StreamInterceptor(verifygrpc.StreamServerInterceptor(w.guard)))
	healthpb.RegisterHealthServer(server, service{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = listener.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return w
}

type sessionKeys struct{}

func (sessionKeys) LookUp(context.Context, ingressauth.Token) (verify.SessionKey, error) {
	return verify.SessionKey{Principal: verify.Principal{Session: "by key"}, Organizations: []string{"org-1"}}, nil
}

// call makes a call of each kind, which must have one answer, and returns it.
func (w *world) call(t *testing.T, md metadata.MD, options ...grpc.DialOption) (codes.Code, string) {
	t.Helper()
	connection, err := grpc.NewClient("passthrough:///"+w.address, append(options, grpc.WithTransportCredentials(w.tls))...)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), md), 20*time.Second)
	defer cancel()
	client := healthpb.NewHealthClient(connection)
	_, unary := client.Check(ctx, &healthpb.HealthCheckRequest{})
	stream, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, streamed := stream.Recv()
	if unary.Error() != streamed.Error() {
		t.Errorf("a call is answered with %v, and a stream with %v", unary, streamed)
	}
	s := status.Convert(unary)
	return s.Code(), s.Message()
}

func TestInterceptors(t *testing.T) {
	w := newWorld(t, func(p *verify.Principal, r *http.Request) bool {
		return r.URL.Path == "/grpc.health.v1.Health/Check" || r.URL.Path == "/grpc.health.v1.Health/Watch" && p.Organization != "org-2"
	})
	session := verifytest.Session(environment, time.Now())
	token := "sk-ant-cc-" + w.signer.Token(session)
	for _, tt := range []struct {
		name    string
		md      metadata.MD
		code    codes.Code
		message string
	}{
		{"good", metadata.Pairs("authorization", "Bearer "+token), codes.NotFound, "hello session_1true"},
		{"a session key", metadata.Pairs("cookie", "sessionKey=sk-ant-sid-1"), codes.NotFound, "hello by keytrue"},
		{"a session key and its organisation", metadata.Pairs("cookie", "sessionKey=sk-ant-sid-1", "x-organization-uuid", "org-1"), codes.NotFound, "hello by keytrue"},
		{"a session key and another organisation", metadata.Pairs("cookie", "sessionKey=sk-ant-sid-1", "x-organization-uuid", "org-2"), codes.Unauthenticated, "claim"},
		{"a session key from another site", metadata.Pairs("cookie", "sessionKey=sk-ant-sid-1", "origin", "https://elsewhere.example"), codes.PermissionDenied, "cross-site"},
		{"a session key from here", metadata.Pairs("cookie", "sessionKey=sk-ant-sid-1", "origin", "https://"+w.address), codes.NotFound, "hello by keytrue"},
		{"none", nil, codes.Unauthenticated, "no credential"},
		{"two", metadata.Pairs("authorization", "Bearer "+token, "authorization", "Bearer "+token), codes.Unauthenticated, "malformed"},
		{"forged", metadata.Pairs("authorization", "Bearer "+token[:len(token)-8]+"AAAAAAAA"), codes.Unauthenticated, "signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.refused = nil
			code, message := w.call(t, tt.md)
			if code != tt.code || message != tt.message {
				t.Errorf("%v: %s, want %v: %s", code, message, tt.code, tt.message)
			}
			if told := len(w.refused) == 2; told != (code != codes.NotFound) {
				t.Errorf("told of %v", w.refused)
			}
		})
	}
	for name := range w.last.Header {
		if strings.HasPrefix(name, ":") {
			t.Errorf("the guard sees a field %s", name)
		}
	}
	if r := w.last; r.Method != "POST" || r.URL.Path != "/grpc.health.v1.Health/Watch" || r.Host != w.address || r.TLS == nil || r.RemoteAddr == "" || r.Header.Get("Authorization") == "" {
		t.Errorf("the guard sees %+v", r)
	}
}

// TestPolicy has a policy say no, and keys be unavailable.
func TestPolicy(t *testing.T) {
	w := newWorld(t, verify.InOrganization("org-2"))
	md := metadata.Pairs("authorization", "Bearer sk-ant-cc-"+w.signer.Token(verifytest.Session(environment, time.Now())))
	if code, message := w.call(t, md); code != codes.PermissionDenied || message != "forbidden" {
		t.Errorf("%v: %s", code, message)
	}
	w.guard.Verifier = nil
	if code, message := w.call(t, md); code != codes.Unavailable || message != "keys unavailable" {
		t.Errorf("%v: %s", code, message)
	}
}

// TestGivenUp has a caller give up while it is verified.
func TestGivenUp(t *testing.T) {
	w := newWorld(t, nil)
	keys := verifytest.NewKeyServer()
	defer keys.Close()
	keys.Stall()
	set, err := verify.NewRemoteKeySet(verify.RemoteConfig{URL: keys.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	issuer, err := verify.ClaudeCode(environment)
	if err != nil {
		t.Fatal(err)
	}
	issuer.Keys = set
	if w.guard.Verifier, err = verify.New(verify.Config{Issuers: []verify.Issuer{issuer}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer sk-ant-cc-"+w.signer.Token(verifytest.Session(environment, time.Now())))))
	cancel()
	_, err = verifygrpc.UnaryServerInterceptor(w.guard)(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/x/Y"}, nil)
	if status.Code(err) != codes.Canceled {
		t.Error(err)
	}
}

// TestRPCCredentials has the project's own client call.
func TestRPCCredentials(t *testing.T) {
	w := newWorld(t, nil)
	token, err := ingressauth.NewToken("sk-ant-cc-"+w.signer.Token(verifytest.Session(environment, time.Now())), "")
	if err != nil {
		t.Fatal(err)
	}
	c := &ingressauth.RPCCredentials{Source: ingressauth.Static(token), Origins: []string{"https://" + w.address}}
	if code, message := w.call(t, nil, grpc.WithPerRPCCredentials(c)); code != codes.NotFound || message != "hello session_1true" {
		t.Errorf("%v: %s", code, message)
	}
}
