//go:build linux || darwin || freebsd

package launch_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
	"github.com/ingressauth/ingressauth/launch"
	"go.uber.org/goleak"
)

// childVariable makes another program of the test binary.
const childVariable = "INGRESSAUTH_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
		goleak.VerifyTestMain(m)
	case "look": // for each line of standard input, print what token is found
		lines := bufio.NewScanner(&control.Reader{})
		for lines.Scan() {
			t, err := ingressauth.Default.Token(context.Background())
			if err != nil {
				fmt.Println(err)
				continue
			}
			fmt.Println(t.Reveal(), os.Getenv("CLAUDE_CODE_ORGANIZATION_UUID"))
		}
	case "sleep": // until standard input ends, whatever signal comes
		signal.Ignore()
		bufio.NewReader(os.Stdin).ReadByte()
	case "parent": // start a child, say its number, and wait to be killed
		child := exec.Command("/bin/sleep", "100")
		cmd := &launch.Cmd{Command: child, Token: token(nil, "first"), Deliver: []launch.Delivery{launch.File}}
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(child.Process.Pid)
		cmd.Wait()
	default:
		programs[os.Getenv(childVariable)]()
	}
}

// programs are those of one system.
var programs = map[string]func(){}

// self returns a command that is this program of the test binary.
func self(program string) *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(clean(os.Environ()), childVariable+"="+program, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

// clean returns these variables without those of this machine's own session.
func clean(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "CLAUDE") {
			kept = append(kept, v)
		}
	}
	return kept
}

func token(t testing.TB, text string) ingressauth.Token {
	token, err := ingressauth.NewToken(text, "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// runtimeDir gives the test a runtime directory of its own.
func runtimeDir(t testing.TB) string {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return dir
}
