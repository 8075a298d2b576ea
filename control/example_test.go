//go:build unix

package control_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
)

// A program that reads lines, and whose parent replaces its token among them.
func ExampleReader() {
	// A server can know of a rotation before this process does.
	ingressauth.Default.RenewWait = time.Second

	lines := bufio.NewScanner(&control.Reader{}) // in place of os.Stdin
	for lines.Scan() {
		// Requests sent from here on carry the newest token.
		fmt.Println(lines.Text())
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

// What a Reader does with an input, and with a variable of another name.
func ExampleReader_names() {
	const variable = "EXAMPLE_CONTROL_TOKEN"
	os.Setenv(variable, "made-up")
	defer os.Unsetenv(variable)

	resolver := &ingressauth.Resolver{Profile: ingressauth.Profile{TokenVariable: variable}}
	input := strings.NewReader("one\n" +
		`{"type":"update_environment_variables","variables":{"EXAMPLE_CONTROL_TOKEN":"newer","OTHER":"value"}}` + "\n" +
		"two\n")
	if _, err := io.Copy(os.Stdout, &control.Reader{In: input, Resolver: resolver}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(resolver.Token(context.Background()))
	// Output:
	// one
	// {"type":"update_environment_variables","variables":{"OTHER":"value"}}
	// two
	// bearer:804f51f7 <nil>
}

// A parent that replaces the token of a running child, here one that prints what it
// reads.
func ExampleWriter() {
	ctx := context.Background()
	token, err := ingressauth.NewToken("newer", "")
	if err != nil {
		log.Fatal(err)
	}
	child := exec.CommandContext(ctx, "cat")
	child.Stdout = os.Stdout
	pipe, err := child.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := child.Start(); err != nil {
		log.Fatal(err)
	}

	input := &control.Writer{Out: pipe} // for all that is written to the child
	fmt.Fprintln(input, "a line of its ordinary input")
	err = input.Update(ctx, map[string]string{"CLAUDE_CODE_SESSION_ACCESS_TOKEN": token.Reveal()})
	if err != nil {
		log.Print(err) // the child is gone, or has not read for five seconds
	}

	pipe.Close()
	if err := child.Wait(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// a line of its ordinary input
	// {"type":"update_environment_variables","variables":{"CLAUDE_CODE_SESSION_ACCESS_TOKEN":"newer"}}
}
