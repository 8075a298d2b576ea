//go:build linux || darwin || freebsd

package launch_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/launch"
)

// A program that has its token in a file, which is replaced while it runs.
func ExampleCmd() {
	ctx := context.Background()
	token, next := newToken("first"), newToken("second")

	cmd := &launch.Cmd{
		Command: exec.Command("agent", "--verbose"),
		Token:   token,
		Deliver: []launch.Delivery{launch.File},
		Scrub:   []string{"AWS_*"},
	}
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	// Whenever there is another one:
	if err := cmd.Rotate(ctx, next); err != nil {
		log.Print(err)
	}
	err := cmd.Wait() // and the file is gone

	fmt.Println(err)
}

// A program that has the token in its environment, and learns of rotations by its standard
// input.
func ExampleCmd_StdinPipe() {
	cmd := &launch.Cmd{
		Command: exec.Command("sh", "-c", `echo "$MY_TOKEN"; cat`),
		Token:   newToken("first"),
		Deliver: []launch.Delivery{launch.Environment},
		Profile: ingressauth.Profile{TokenVariable: "MY_TOKEN"},
	}
	cmd.Command.Stdout = os.Stdout
	in, err := cmd.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		log.Fatal(err)
	}
	io.WriteString(in, "a line of its own\n")
	if err := cmd.Rotate(context.Background(), newToken("second")); err != nil {
		log.Fatal(err)
	}
	in.Close()
	fmt.Println(cmd.Wait())
	// Output:
	// first
	// a line of its own
	// {"type":"update_environment_variables","variables":{"MY_TOKEN":"second"}}
	// <nil>
}

func newToken(text string) ingressauth.Token {
	t, err := ingressauth.NewToken(text, "")
	if err != nil {
		log.Fatal(err)
	}
	return t
}
