package broker_test

import (
	"log"
	"log/slog"
	"os"
	"os/exec"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/broker"
	"github.com/ingressauth/ingressauth/launch"
)

func Example() {
	b, err := broker.New(broker.Config{
		Source:  &ingressauth.Default,
		Routes:  []broker.Route{{Upstream: "https://service.example"}},
		Observe: broker.AccessLog(os.Stderr),
		Log:     slog.Default(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	listener, err := b.Listen("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	child, err := b.Add(broker.ChildConfig{Name: "tool"})
	if err != nil {
		log.Fatal(err)
	}
	defer child.Remove()
	command := exec.Command("tool", "--base-url", listener.URL())
	start := &launch.Cmd{Command: command, Token: child.Phantom(), Deliver: []launch.Delivery{launch.File}}
	if err := start.Start(); err != nil {
		log.Fatal(err)
	}
	err = start.Wait()
}
