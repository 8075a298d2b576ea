package verifygrpc_test

import (
	"log"

	"github.com/ingressauth/ingressauth/verify"
	"github.com/ingressauth/ingressauth/verify/verifygrpc"
	"google.golang.org/grpc"
)

var verifier *verify.Verifier

// A gRPC server that sessions which a human has started may call.
func Example() {
	guard := &verify.Guard{Verifier: verifier, Policy: verify.CreatedBy(verify.User)}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(verifygrpc.UnaryServerInterceptor(guard)),
		grpc.StreamInterceptor(verifygrpc.StreamServerInterceptor(guard)))
	log.Print(server.GetServiceInfo())
}
