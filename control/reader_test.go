package control_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/ingressauth/ingressauth"
	"github.com/ingressauth/ingressauth/control"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tokenVariable        = "TEST_CONTROL_TOKEN"
	organizationVariable = "TEST_CONTROL_ORGANIZATION"
	otherVariable        = "TEST_CONTROL_OTHER"
)

// resolver returns one of variables that are this test's own, and what it logs.
func resolver(t testing.TB) (*ingressauth.Resolver, *bytes.Buffer) {
	for _, name := range []string{tokenVariable, organizationVariable, otherVariable} {
		os.Unsetenv(name)
		t.Cleanup(func() { os.Unsetenv(name) })
	}
	log := new(bytes.Buffer)
	return &ingressauth.Resolver{
		Profile: ingressauth.Profile{
			TokenVariable: tokenVariable, OrganizationVariable: organizationVariable,
			DescriptorVariable: "TEST_CONTROL_DESCRIPTOR", File: "/nonexistent/token",
		},
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, log
}

// update returns a message with these names and values.
func update(pairs ...string) string {
	var members []string
	for i := 0; i < len(pairs); i += 2 {
		members = append(members, fmt.Sprintf("%q:%q", pairs[i], pairs[i+1]))
	}
	return `{"type":"update_environment_variables","variables":{` + strings.Join(members, ",") + `}}`
}

// TestReader has the lines of a standard input, and what comes of each.
func TestReader(t *testing.T) {
	const token, other = tokenVariable, otherVariable
	long := strings.Repeat("x", 1<<20)
	exact := func(n int) string { // a message of n bytes
		s := update(token, "new")
		return s + strings.Repeat(" ", n-len(s))
	}
	deep := strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000)
	for _, tt := range []struct {
		name, in  string
		passed    string // on, under consume; "=": all
		token     string // afterwards; "" where it was not set
		malformed bool
	}{
		{"a message", update(token, "new") + "\n", "", "new", false},
		{"no final newline", update(token, "new"), "", "new", false},
		{"CRLF", "a\r\n" + update(token, "new") + "\r\nb\r\n", "a\r\nb\r\n", "new", false},
		{"two messages: the later holds", update(token, "old") + "\n" + update(token, "new") + "\n", "", "new", false},
		{"white space around it", " \t" + update(token, "new") + " \t\n", "", "new", false},
		{"white space in it", `{ "type" : "update_environment_variables" , "variables" : { "` + token + `" : "new" } }` + "\n", "", "new", false},
		{"members in another order, and others", `{"a":[{"type":"user"}],"variables":{"` + token + `":"new"},"b":null,"type":"update_environment_variables"}` + "\n", "", "new", false},
		{"escapes", `{"\u0074ype":"\u0075pdate\u005fenvironment_variables","variables":{"\u0054EST_CONTROL_TOKEN":"n\u0065w"}}` + "\n", "", "new", false},
		{"an empty value clears the token", update(token, "old") + "\n" + update(token, "") + "\n", "", "", false},
		{"no variables in it", update() + "\n", "", "", false},
		{"a line break after the token", update(token, `new`)[:0] + `{"type":"update_environment_variables","variables":{"` + token + `":"new\r\n"}}` + "\n", "", "new", false},
		{"deep", `{"deep":` + deep + `,"type":"update_environment_variables","variables":{"` + token + `":"new"}}` + "\n", "", "new", false},
		{"a number of any size", `{"n":[1e400],"type":"update_environment_variables","variables":{"` + token + `":"new"}}` + "\n", "", "new", false},
		{"a NUL in another's value", `{"type":"update_environment_variables","variables":{"A":"\u0000","` + token + `":"new"}}` + "\n",
			`{"type":"update_environment_variables","variables":{"A":"\u0000"}}` + "\n", "new", false},
		{"half a surrogate pair", `{"type":"update_environment_variables","variables":{"` + token + `":"a\ud800b"}}` + "\n", "", "", true},
		{"another member twice", `{"a":1,"a":2,"type":"update_environment_variables","variables":{"` + token + `":"new"}}` + "\n", "", "new", false},
		{"1 MiB", exact(1<<20) + "\n", "", "new", false},

		{"other names", update("PATH", "/evil") + "\n", "=", "", false},
		{"names of another case", update(strings.ToLower(token), "new") + "\n", "=", "", false},
		{"other names, too", `{"type":"update_environment_variables", "variables": { "A":"1", "` + token + `":"new" , "B" : "2"}, "c":3}` + "\r\n",
			`{"type":"update_environment_variables", "variables": {"A":"1","B" : "2"}, "c":3}` + "\r\n", "new", false},
		{"another name last, and no newline", update(token, "new", "B", "2"), update("B", "2"), "new", false},

		{"text", "hello\nworld", "=", "", false},
		{"nothing", "", "=", "", false},
		{"empty lines", "\n\r\n\n", "=", "", false},
		{"white space", "  \t", "=", "", false},
		{"NUL bytes", "\x00\x00{\x00\n\x00", "=", "", false},
		{"NUL bytes in an object", "{\"\x00\":\"\x00\"}\x00\n", "=", "", false},
		{"other JSON", `{"type":"user","message":"update_environment_variables"}` + "\n[1]\n\"a\"\n{}\n", "=", "", false},
		{"the type in another place", `{"a":{"type":"update_environment_variables","variables":{"` + token + `":"new"}}}` + "\n", "=", "", false},
		{"in an array", "[" + update(token, "new") + "]\n", "=", "", false},
		{"a member of another case", `{"Type":"update_environment_variables","variables":{"` + token + `":"new"}}` + "\n", "=", "", false},
		{"after a byte order mark", "\uFEFF" + update(token, "new") + "\n", "=", "", false},
		{"after text", "x" + update(token, "new") + "\n", "=", "", false},
		{"a text line of more than 1 MiB", long + "\n" + long + long, "=", "", false},
		{"an object of more than 1 MiB", `{"a":"` + long + `"}` + "\n" + update(token, "new") + "\n", `{"a":"` + long + `"}` + "\n", "new", false},
		{"a brace and nothing", "{", "=", "", false},
		{"many braces", strings.Repeat("{", 1<<17), "=", "", false},

		{"broken off", `a` + "\n" + `{"type":"update_environment_variables","variables":{"` + token + `":"new` + "\nb\n", "a\nb\n", "", true},
		{"broken off at the end", `{"type":"update_environment_variables","variables":{"` + token + `":"new"`, "", "", true},
		{"not JSON after the type", `{"type":"update_environment_variables",variables:{"` + token + `":"new"}}` + "\n", "", "", true},
		{"a raw TAB in a string", `{"type":"update_environment_variables","variables":{"` + token + "\":\"a\tb\"}}\n", "", "", true},
		{"something after it", update(token, "new") + update(token, "newer") + "\n", "", "", true},
		{"type twice", `{"type":"user","type":"update_environment_variables","variables":{"` + token + `":"new"}}` + "\n", "", "", true},
		{"type twice, ours first", `{"type":"update_environment_variables","type":1,"variables":{"` + token + `":"new"}}` + "\n", "", "", true},
		{"variables twice", `{"type":"update_environment_variables","variables":{"` + token + `":"a"},"variables":{"` + token + `":"b"}}` + "\n", "", "", true},
		{"a variable twice", update(token, "a", token, "b") + "\n", "", "", true},
		{"another variable twice", update("A", "a", "A", "b") + "\n", "", "", true},
		{"type twice, escaped", `{"type":"update_environment_variables","\u0074ype":"user","variables":{"` + token + `":"new"}}` + "\n", "", "", true},
		{"text after it", update(token, "new") + " or not\n", "", "", true},
		{"text after it, at the end", update(token, "new") + "x", "", "", true},
		{"a comma too many", `{"type":"update_environment_variables","variables":{"` + token + `":"new",}}` + "\n", "", "", true},
		{"the wrong brackets", `{"type":"update_environment_variables","variables":{"` + token + `":"new"]}` + "\n", "", "", true},
		{"not UTF-8, after the object", update(token, "new") + "\xff\n", "", "", true},
		{"not UTF-8, in another member", `{"type":"update_environment_variables","a":"` + "\xff" + `","variables":{"` + token + `":"new"}}` + "\n", "", "", true},
		{"an escape that is none", `{"type":"update_environment_variables","variables":{"` + token + `":"new\x"}}` + "\n", "", "", true},
		{"broken off at the end, in an escape", `{"type":"update_environment_variables","variables":{"` + token + `":"new\u00`, "", "", true},
		{"no member variables", `{"type":"update_environment_variables"}` + "\n", "", "", true},
		{"variables of another kind", `{"type":"update_environment_variables","variables":[["` + token + `","new"]]}` + "\n", "", "", true},
		{"variables are text", `{"type":"update_environment_variables","variables":"` + token + `=new"}` + "\n", "", "", true},
		{"variables are null", `{"type":"update_environment_variables","variables":null,"` + token + `":"new"}` + "\n", "", "", true},
		{"null", `{"type":"update_environment_variables","variables":{"` + token + `":null}}` + "\n", "", "", true},
		{"a number, of another name", `{"type":"update_environment_variables","variables":{"` + token + `":"new","A":1}}` + "\n", "", "", true},
		{"an object for a value", `{"type":"update_environment_variables","variables":{"` + token + `":{"a":["b"]}}}` + "\n", "", "", true},
		{"not UTF-8", `{"type":"update_environment_variables","variables":{"` + token + "\":\"a\xffb\"}}\n", "", "", true},
		{"a NUL in a token", `{"type":"update_environment_variables","variables":{"` + token + `":"a\u0000b"}}` + "\n", "", "", true},
		{"a line break in a token", `{"type":"update_environment_variables","variables":{"` + token + `":"a\nb"}}` + "\n", "", "", true},
		{"one good value, one bad", `{"type":"update_environment_variables","variables":{"` + token + `":"new","` + organizationVariable + `":"a\nb"}}` + "\n", "", "", true},
		{"a token of more than 64 KiB", update(token, strings.Repeat("x", 64<<10+1)) + "\n", "", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for how, in := range map[string]io.Reader{
				"at once":            strings.NewReader(tt.in),
				"with the end":       iotest.DataErrReader(strings.NewReader(tt.in)),
				"in pieces":          &pieces{strings.NewReader(tt.in)},
				"with pauses":        &pausing{r: strings.NewReader(tt.in)},
				"observed":           strings.NewReader(tt.in),
				"observed in pieces": &pieces{strings.NewReader(tt.in)},
			} {
				r, log := resolver(t)
				reader := &control.Reader{In: in, Resolver: r, Observe: strings.HasPrefix(how, "observed")}
				passed := tt.passed
				if passed == "=" || reader.Observe {
					passed = tt.in
				}
				if got := readAll(t, reader); got != passed {
					t.Errorf("%s: passed on %.200q, want %.200q", how, got, passed)
				}
				if got := os.Getenv(tokenVariable); got != tt.token {
					t.Errorf("%s: the token is %q", how, got)
				}
				if got := strings.Contains(log.String(), "level=ERROR"); got != tt.malformed {
					t.Errorf("%s: malformed: %v; it says %s", how, got, log)
				}
				if strings.Contains(log.String(), "new") || strings.Contains(log.String(), "evil") {
					t.Errorf("%s: a value is in the log: %s", how, log)
				}
			}
		})
	}
}

// TestReaderKeeps has lines that are messages, or may be, and that are too long or
// broken before they say so: a program that is to see no token gets none of them, and
// one that applies them itself still gets all.
func TestReaderKeeps(t *testing.T) {
	for _, bound := range []int{1 << 20, 4 << 10} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) { keeps(t, bound) })
	}
}

func keeps(t *testing.T, bound int) {
	const (
		secret = "s3cret"
		ours   = `"type":"update_environment_variables"`
		vars   = `"variables":{"` + tokenVariable + `":"` + secret + `"}`
	)
	long := strings.Repeat("x", bound)
	pad := `"pad":"` + long + `"`
	// until returns a line that has this begin with its last bytes before the bound.
	until := func(n int, begin, rest string) string {
		return `{"pad":"` + strings.Repeat("x", bound-len(`{"pad":"",`)-n) + `",` + begin + rest
	}
	spaces := strings.Repeat(" ", bound)
	for _, tt := range []struct {
		name, in string
		passed   string // "=": all
		refused  int    // messages, by the log
	}{
		{"type first", `{` + ours + `,` + vars + `,` + pad + "}\n", "", 1},
		{"a long token", `{` + ours + `,"variables":{"` + tokenVariable + `":"` + secret + long + secret + "\"}}\n", "", 1},
		{"at the end of input", `{` + ours + `,"variables":{"` + tokenVariable + `":"` + long + secret + `"}}`, "", 1},
		{"broken off", `{` + ours + `,"variables":{"` + tokenVariable + `":"` + long + secret, "", 1},
		{"cut in an escape", `{` + ours + `,"variables":{"` + tokenVariable + `":"` + strings.Repeat(`\u0078`, bound/6) + secret + `"}}`, "", 1},
		{"one byte more", `{` + ours + `,` + vars + `}` + spaces[:bound+1-len(`{`+ours+`,`+vars+`}`)] + "\n", "", 1},
		{"many MiB, and then lines", "a\n{" + ours + `,` + vars + `,"pad":"` + strings.Repeat(long, 3) + "\"}\n{\"type\":\"user\"}\nb", "a\n{\"type\":\"user\"}\nb", 1},
		{"two of them", `{` + ours + `,` + vars + `,` + pad + "}\n{" + vars + `,` + pad + `,` + ours + "}\n", "", 2},
		{"something after it", `{` + ours + `,` + vars + `}` + long + secret + "\n", "", 1},
		{"white space before it", spaces + `{` + ours + `,` + vars + "}\n", spaces + `{` + ours + "\n", 1},
		{"escapes", `{"\u0074yp\u0065":"\u0075pdate_environment\u005fvariables",` + vars + `,` + pad + "}\n", "", 1},
		{"variables first", `{` + vars + `,` + pad + `,` + ours + "}\n", "", 1},
		{"variables first, escaped", `{"v\u0061riables":{"\u0054EST_CONTROL_TOKEN":"` + secret + `"},` + pad + `,` + ours + "}\n", "", 1},
		{"variables first, the token last", `{"variables":{"A":"` + long + `","` + tokenVariable + `":"` + secret + `"},` + ours + "}\n", "", 1},
		{"variables of another kind first", `{"variables":"` + secret + `",` + pad + `,` + ours + "}\n", "", 1},
		{"variables cut after the name", until(11, `"variables"`, `:{"`+tokenVariable+`":"`+secret+`"},`+ours+"}\n"), "", 1},
		{"type twice", `{"type":"user",` + ours + `,` + vars + `,` + pad + "}\n", "", 1},
		{"type twice, ours first", `{` + ours + `,"type":"user",` + vars + `,` + pad + "}\n", "", 1},
		{"no JSON before the type", `{"a":NaN,` + ours + `,` + vars + `,` + pad + "}\n", "", 1},
		{"no UTF-8 before the type", "{\"\xff\":\"\xff\"," + ours + `,` + vars + `,` + pad + "}\n", "", 1},

		// What has come through by then is not a token.
		{"type after the bound", `{` + pad + `,` + ours + `,` + vars + "}\na\n", `{` + pad + `,` + ours + "\na\n", 1},
		{"type after the bound, no newline", `{` + pad + `,` + ours + `,` + vars + "}", `{` + pad + `,` + ours, 1},
		{"variables after the bound", `{` + pad + `,` + vars + `,` + ours + "}\r\na\n", `{` + pad + `,"variables":{"` + tokenVariable + "\"\na\n", 1},
		{"variables of another kind after the bound", `{` + pad + `,"variables":[["` + tokenVariable + `","` + secret + `"]],` + ours + "}\n", `{` + pad + `,"variables":[["` + tokenVariable + "\"\n", 1},
		{"cut in a name", until(4, `"var`, `iables":{"`+tokenVariable+`":"`+secret+`"},`+ours+"}\n"), until(4, `"var`, `iables":{"`+tokenVariable+"\"\n"), 1},
		{"cut in an escape of a name", until(4, `"\u0`, `074ype":"update_environment_variables",`+vars+"}\n"), until(4, `"\u0`, "074ype\":\"update_environment_variables\"\n"), 1},
		{"cut in the type", until(15, `"type":"update_`, `environment_variables",`+vars+"}\n"), until(15, `"type":"update_`, "environment_variables\"\n"), 1},
		{"type twice, ours after the bound", `{"type":"user",` + pad + `,` + ours + `,` + vars + "}\n", `{"type":"user",` + pad + `,` + ours + "\n", 1},

		{"another type", `{"type":"user",` + pad + `,"m":"` + strings.Repeat(long, 3) + "\"}\n", "=", 0},
		{"another type, and variables", `{"type":"user","variables":{"` + tokenVariable + `":"x"},` + pad + "}\n", "=", 0},
		{"variables, and another type", `{"variables":{"` + tokenVariable + `":"x"},"type":"user",` + pad + `}`, "=", 0},
		{"another type, and variables after the bound", `{"type":"user",` + pad + `,"variables":{"` + tokenVariable + `":"x"}}`, "=", 0},
		{"a type that is no string", `{"type":1,"variables":{},` + pad + "}\n", "=", 0},
		{"a type that is an object", `{"type":{"type":"update_environment_variables"},"variables":{},` + pad + "}\n", "=", 0},
		{"a long type", `{"type":"` + long + `","variables":{}}` + "\n", "=", 0},
		{"a longer type", `{"type":"update_environment_variables ","variables":{},` + pad + "}\n", "=", 0},
		{"the type in another place", `{"a":{` + ours + `,"variables":{}},"b":[{` + ours + `}],"c":"type",` + pad + "}\n", "=", 0},
		{"the type in text", `{"a":"{\"type\":\"update_environment_variables\",\"variables\":{}}",` + pad + "}\n", "=", 0},
		{"the type as another's value", `{"a":"update_environment_variables","b":"variables",` + pad + `,"update_environment_variables":"type"}` + "\n", "=", 0},
		{"other variables after the bound", `{"query":"` + long + `","variables":{"a":"b"}}` + "\n", "=", 0},
		{"a member after the object", `{` + pad + `}{` + ours + `}` + "\n", "=", 0},
		{"in an array", `[{` + ours + `,` + pad + "}]\n", "=", 0},
		{"a line of the type's name", "{" + `"update_environment_variables` + long + "\n", "=", 0},
		{"white space", spaces + spaces + "\n", "=", 0},
		{"text after white space", spaces + "x{" + ours + "}\n", "=", 0},

		{"broken off before the type", `{` + vars + "\na\n", "a\n", 1},
		{"broken off before the type, in the token", `{"variables":{"` + tokenVariable + `":"` + secret, "", 1},
		{"broken off before the type, escaped", `{"\u0076ariables":{"\u0054EST_CONTROL_TOKEN":"` + secret + `"`, "", 1},
		{"not JSON before the type", `{"a":NaN,` + ours + `,` + vars + "}\n", "", 1},
		{"not JSON before the type, and something after it", `{"a":NaN,` + ours + `,` + vars + "}}x\n", "", 1},
		{"not JSON, with a token", `{` + vars + ",a:1}\n", "", 1},
		{"broken off, with no such name", `{"variables":{` + "\n" + `{"variables":{"A":"` + tokenVariable[1:], "=", 0},
		{"broken off, of another type", `{"type":"user","variables":{"` + tokenVariable + `":"x"`, "=", 0},
		{"no type, and whole", `{"variables":{"` + tokenVariable + `":"x"}}` + "\n", "=", 0},
		{"no type, and something after it", `{"variables":{"` + tokenVariable + `":"x"}}{` + "\n", "=", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for how, in := range map[string]io.Reader{
				"at once":          strings.NewReader(tt.in),
				"a byte at a time": iotest.OneByteReader(strings.NewReader(tt.in)),
				"with the end":     iotest.DataErrReader(strings.NewReader(tt.in)),
				"in pieces":        &pieces{strings.NewReader(tt.in)},
				"with pauses":      &pausing{r: strings.NewReader(tt.in)},
				"observed":         &pieces{strings.NewReader(tt.in)},
			} {
				if bound == 1<<20 && how != "in pieces" {
					continue // it takes long
				}
				r, log := resolver(t)
				reader := &control.Reader{In: in, Resolver: r, Observe: how == "observed"}
				if bound != 1<<20 {
					reader.SetLimit(bound)
				}
				passed, refused := tt.passed, tt.refused
				if passed == "=" {
					passed = tt.in
				}
				if reader.Observe {
					passed, refused = tt.in, 0
				}
				got := readAll(t, reader)
				if got != passed {
					t.Errorf("%s: passed on %d bytes, %.100q, want %d, %.100q", how, len(got), got[max(0, len(got)-100):],
						len(passed), passed[max(0, len(passed)-100):])
				}
				if !reader.Observe && tt.refused > 0 && strings.Contains(got, secret) {
					t.Errorf("%s: a token came through", how)
				}
				if got := os.Getenv(tokenVariable); got != "" {
					t.Errorf("%s: the token is %q", how, got)
				}
				if got := strings.Count(log.String(), "level=ERROR"); got != refused {
					t.Errorf("%s: refused: %d, want %d; it says %s", how, got, refused, log)
				}
				if strings.Contains(log.String(), secret) {
					t.Errorf("%s: a token is in the log: %s", how, log)
				}
			}
		})
	}
}

// pieces gives some bytes at a time, and nothing at times.
type pieces struct{ r io.Reader }

func (p *pieces) Read(b []byte) (int, error) {
	return p.r.Read(b[:min(len(b), rand.IntN(1+rand.IntN(40_000)))])
}

// pausing gives 4 KiB at a time, and times out between.
type pausing struct {
	r     io.Reader
	pause bool
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.pause = !p.pause; p.pause {
		return 0, &os.PathError{Op: "read", Err: os.ErrDeadlineExceeded}
	}
	return p.r.Read(b[:min(len(b), 4<<10)])
}

// readAll reads on after errors that are not the end.
func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	var all []byte
	for {
		b, err := io.ReadAll(r)
		all = append(all, b...)
		if err == nil {
			return string(all)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

// TestReaderIsPrompt has a program that answers what it reads before it gets more:
// nothing that cannot be a message may be held back.
func TestReaderIsPrompt(t *testing.T) {
	for _, observe := range []bool{false, true} {
		r, _ := resolver(t)
		in, out := io.Pipe()
		reader := &control.Reader{In: in, Resolver: r, Observe: observe}
		for _, s := range []string{
			"name? ", "yes", "\n", "a line\n", " text after white space", "\r\n",
			"Content-Length: 15\r\n\r\n", `{"a":"}","b":{}}`, `{"a":"\"}"}`, "\n",
			`{"type":"user"}`, "{ and no JSON", "\n", "\t{}", "\x00", "\n", "[", "\n",
		} {
			go out.Write([]byte(s))
			got := make([]byte, len(s))
			if _, err := io.ReadFull(reader, got); err != nil || string(got) != s {
				t.Fatalf("observe %v: %q, %v; want %q", observe, got, err, s)
			}
		}
		// The first half of a message waits for the second.
		message := "\n" + update(tokenVariable, "new")
		half := len(message) / 2
		go func() {
			io.WriteString(out, message[:half])
			io.WriteString(out, message[half:])
			io.WriteString(out, "\nx")
			out.Close()
		}()
		want := "\nx"
		if observe {
			want = message + "\nx"
		}
		if got := readAll(t, reader); got != want {
			t.Errorf("observe %v: %q", observe, got)
		}
		if got := os.Getenv(tokenVariable); got != "new" {
			t.Errorf("observe %v: the token is %q", observe, got)
		}
	}
}

// TestReaderAppliesFirst has a program that acts upon the line after a message, or
// sees the message itself.
func TestReaderAppliesFirst(t *testing.T) {
	for _, observe := range []bool{false, true} {
		r, _ := resolver(t)
		in, out := io.Pipe()
		reader := &control.Reader{In: in, Resolver: r, Observe: observe}
		go func() {
			io.WriteString(out, update(tokenVariable, "new")+"\ngo\n")
			out.Close()
		}()
		if _, err := reader.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if got := os.Getenv(tokenVariable); got != "new" {
			t.Errorf("observe %v: the first byte came before the token", observe)
		}
		readAll(t, reader)
	}
}

func TestReaderNames(t *testing.T) {
	r, _ := resolver(t)
	in := update(tokenVariable, "a", otherVariable, "b") + "\n"
	reader := &control.Reader{In: strings.NewReader(in), Resolver: r, Names: []string{otherVariable}}
	if got, want := readAll(t, reader), update(tokenVariable, "a")+"\n"; got != want {
		t.Errorf("passed on %q, want %q", got, want)
	}
	if got := [2]string{os.Getenv(tokenVariable), os.Getenv(otherVariable)}; got != [2]string{"", "b"} {
		t.Errorf("set: %q", got)
	}
	reader = &control.Reader{In: strings.NewReader(in), Resolver: r, Names: []string{}}
	if got := readAll(t, reader); got != in {
		t.Errorf("with no names: passed on %q", got)
	}
}

// TestReaderErrors has inputs that fail and go on, fail for good, and say nothing.
func TestReaderErrors(t *testing.T) {
	r, _ := resolver(t)
	message := update(tokenVariable, "new") + "\n"
	failure := errors.New("made up")
	const partial = "a\n{\"b\": "
	reader := &control.Reader{In: io.MultiReader(strings.NewReader(partial), iotest.ErrReader(failure)), Resolver: r}
	if b, err := io.ReadAll(reader); string(b) != partial || err != failure {
		t.Errorf("%q, %v", b, err)
	}
	// A terminal goes on after its end, and begins a line then.
	for _, before := range []string{"abc", message[:len(message)/2]} {
		os.Unsetenv(tokenVariable)
		parts := []string{before, message}
		reader = &control.Reader{Resolver: r, In: readerFunc(func(p []byte) (int, error) {
			if len(parts[0]) == 0 {
				parts = parts[1:]
				return 0, io.EOF
			}
			n := copy(p, parts[0])
			parts[0] = parts[0][n:]
			return n, nil
		})}
		if got := readAll(t, reader) + readAll(t, reader); strings.Contains(got, "type") || os.Getenv(tokenVariable) != "new" {
			t.Errorf("%q and the end, then a message: %q, and the token is %q", before, got, os.Getenv(tokenVariable))
		}
	}
	if n, err := reader.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing was asked for: %d, %v", n, err)
	}
	reader = &control.Reader{In: readerFunc(func([]byte) (int, error) { return 0, nil }), Resolver: r}
	if _, err := reader.Read(make([]byte, 1)); err != io.ErrNoProgress {
		t.Errorf("an input that says nothing: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestReaderMemory has a line of 64 MiB, of which little may be kept.
func TestReaderMemory(t *testing.T) {
	const size = 32 << 20
	filling := bytes.Repeat([]byte("x"), 64<<10)
	for _, observe := range []bool{false, true} {
		for _, begins := range []string{"x", `{"a":"`, `{"`, update()[:40] + `"`, `{"variables":{"`} {
			if observe && len(begins) > len(`{"a":"`) {
				continue // it is all the same
			}
			r, _ := resolver(t)
			line := io.MultiReader(strings.NewReader(begins), io.LimitReader(readerFunc(func(p []byte) (int, error) {
				return copy(p, filling), nil
			}), size))
			reader := &control.Reader{In: line, Resolver: r, Observe: observe}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			n, err := io.Copy(io.Discard, reader)
			runtime.ReadMemStats(&after)
			want := size + int64(len(begins))
			if strings.Contains(begins, "variables") && !observe {
				want = 0
			}
			if n != want || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			// Of what is allocated, most is garbage at once.
			if sys := int64(after.HeapSys) - int64(before.HeapSys); sys > 24<<20 {
				t.Errorf("observe %v, %q: the heap grew by %d MiB", observe, begins, sys>>20)
			}
		}
	}
}

// FuzzReader holds readers to what must be true of any input, and of any bound on a
// message: how it is cut does not matter; under Observe all comes through; what is
// consumed is messages, or may be; and none comes through that an ordinary JSON parser
// takes for a message to us, nor, of one that is too long, the token.
func FuzzReader(f *testing.F) {
	message := update(tokenVariable, "new")
	for _, s := range []string{
		message, message + "\r\na\n", "a\n" + message + "\nb", `{"a":1}{"b":2}` + "\n", " {", "\x00{\n",
		update(tokenVariable, "a", "B", "c") + "\n", `{"type":"update_environment_variables","variables":{}}`,
		message[:40] + "\n" + message, `{"\u0074ype":"update_environment_variables","variables":{"` + tokenVariable + `":"x"}}`,
		`{"a":"b","variables":{"A":"b","` + tokenVariable + `":"s3cret"},"type":"update_environment_variables","c":1}` + "\nx\n",
		`{"a":"b","type":"update_environment_variables","variables":{"` + tokenVariable + `":"s3cret"}}` + "\nx\n",
		`{"type":"user","a":{"variables":[1,"\\"]}}` + "\n" + `{"variables":{},"type":"user"}`,
	} {
		for _, limit := range []uint16{1 << 15, 12, 40, 70} {
			f.Add([]byte(s), uint64(1), limit)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, limit uint16) {
		type outcome struct{ Passed, Token, Organization, Log string }
		read := func(in io.Reader, observe bool) outcome {
			r, log := resolver(t)
			r.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}}))
			reader := &control.Reader{In: in, Resolver: r, Observe: observe}
			reader.SetLimit(1 + int(limit))
			passed := readAll(t, reader)
			return outcome{passed, os.Getenv(tokenVariable), os.Getenv(organizationVariable), log.String()}
		}
		whole := read(bytes.NewReader(in), false)
		random := rand.New(rand.NewPCG(seed, 0))
		cut := read(readerFunc(func() func(p []byte) (int, error) {
			rest := in
			return func(p []byte) (int, error) {
				if len(rest) == 0 {
					return 0, io.EOF
				}
				n := copy(p[:min(len(p), 1+random.IntN(8))], rest)
				rest = rest[n:]
				return n, nil
			}
		}()), false)
		if diff := cmp.Diff(whole, cut); diff != "" {
			t.Errorf("cut otherwise, it is another (-whole +cut):\n%s", diff)
		}
		observed := read(bytes.NewReader(in), true)
		if observed.Passed != string(in) {
			t.Errorf("observed, %q became %q", in, observed.Passed)
		}
		// What may be a message is kept from a program that is to see none, and of no
		// interest to another.
		observed.Passed, observed.Log = whole.Passed, without(observed.Log)
		consumed := whole
		if consumed.Log = without(whole.Log); observed != consumed {
			t.Errorf("observed, it is another (-consumed +observed):\n%s", cmp.Diff(consumed, observed))
		}
		mayBeOurs := func(line string) bool {
			return strings.Contains(line, "variables") || strings.Contains(line, `\u`)
		}
		var rest strings.Builder
		for line := range strings.Lines(string(in)) {
			if !mayBeOurs(line) {
				rest.WriteString(line)
			}
			variables := lenient(line)
			for _, name := range []string{tokenVariable, organizationVariable} {
				value := string(variables[name])
				// Where "type" stands once, and the value.
				if len(value) < 4 || strings.Count(line, "type") != 1 || strings.Contains(line, `\u`) || strings.Count(line, value) != 1 {
					continue
				}
				if got := read(strings.NewReader(line), false); strings.Contains(got.Passed, value) {
					t.Errorf("the bound is %d, and of %q came through %q", 1+int(limit), line, got.Passed)
				}
			}
			if foreign(line) && !strings.Contains(whole.Passed, line) {
				t.Errorf("the bound is %d, and %q did not come through", 1+int(limit), line)
			}
		}
		var passed strings.Builder
		for line := range strings.Lines(whole.Passed) {
			if !mayBeOurs(line) {
				passed.WriteString(line)
			}
			if variables := lenient(line); variables[tokenVariable] != nil || variables[organizationVariable] != nil {
				t.Errorf("%q came through", line)
			}
		}
		if passed.String() != rest.String() {
			t.Errorf("of the program's own, %q became %q", rest.String(), passed.String())
		}
	})
}

// without returns a log without what is said of lines that may be messages.
func without(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "it is longer than") && !strings.Contains(line, "it is not JSON") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// foreign reports whether a line is JSON that begins with another type than ours, and
// has no other one.
func foreign(line string) bool {
	return strings.HasPrefix(line, `{"type":"user"`) && strings.Count(line, "type") == 1 && !strings.Contains(line, `\u`) &&
		json.Valid([]byte(line))
}

// lenient returns the variables in a message, as a parser would have them that lets
// the last of two members hold.
func lenient(line string) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	var variables map[string]json.RawMessage
	var kind string
	if json.Unmarshal([]byte(line), &members) != nil ||
		json.Unmarshal(members["type"], &kind) != nil || kind != "update_environment_variables" ||
		json.Unmarshal(members["variables"], &variables) != nil {
		return nil
	}
	return variables
}
