package interop

import (
	"context"
	"log"
	"net/http"

	"github.com/coder/websocket"
	"github.com/ingressauth/ingressauth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// A WebSocket client that comes back with the newest token when it was cut off.
func Example_webSocket() {
	ctx := context.Background()
	client := &http.Client{Transport: &ingressauth.Transport{
		Origins: []string{"https://service.example"}, // where wss://service.example begins
	}}
	for ctx.Err() == nil {
		connection, _, err := websocket.Dial(ctx, "wss://service.example/", &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			log.Fatal(err)
		}
		for err == nil {
			_, _, err = connection.Read(ctx)
		}
		connection.CloseNow()
	}
}

// A gRPC client each of whose calls carries the newest token.
func Example_gRPC() {
	connection, err := grpc.NewClient("service.example:443",
		grpc.WithTransportCredentials(credentials.NewTLS(nil)),
		grpc.WithPerRPCCredentials(&ingressauth.RPCCredentials{
			Origins: []string{"https://service.example"},
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
}
