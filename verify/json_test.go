package verify

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseObject(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string // names and values, or "no"
	}{
		{`{}`, ""},
		{" \t\r\n{ \t\r\n} \t\r\n", ""},
		{`{"a":1}`, "a=1 "},
		{`{"a":1,"b":"x","c":true,"d":false,"e":null}`, `a=1 b="x" c=true d=false e=null `},
		{` { "a" : 1 , "b" : [ 1 , { "c" : 2 } , [ ] , { } ] } `, `a=1 b=[ 1 , { "c" : 2 } , [ ] , { } ] `},
		{`{"a":{"b":{"a":1,"b":2},"c":3},"b":4}`, `a={"b":{"a":1,"b":2},"c":3} b=4 `},
		{`{"":0}`, "=0 "},
		{`{"\u0061\"\\\/\b\f\n\r\t":0}`, "a\"\\/\b\f\n\r\t=0 "},
		{`{"\ud83d\ude00é":0}`, "😀é=0 "},
		{`{"a":-0.0e-0,"b":1E+9,"c":0.5,"d":10}`, "a=-0.0e-0 b=1E+9 c=0.5 d=10 "},
		{"{\"12345678\":\"\x7f\u0080\uFEFF\"}", "12345678=\"\x7f\u0080\uFEFF\" "},
		{`{"a":1,"A":1}`, "a=1 A=1 "},

		{``, "no"}, {` `, "no"}, {`{`, "no"}, {`}`, "no"}, {`{"a`, "no"}, {`{"a"`, "no"}, {`{"a":`, "no"}, {`{"a":1`, "no"}, {`{"a":1,`, "no"},
		{`{"a":1,}`, "no"}, {`{,}`, "no"}, {`{"a"}`, "no"}, {`{"a" 1}`, "no"}, {`{a:1}`, "no"}, {`{'a':1}`, "no"}, {`{1:1}`, "no"},
		{`{"a":1 "b":2}`, "no"}, {`{"a":1;"b":2}`, "no"}, {`{"a":}`, "no"}, {`{"a":1}}`, "no"}, {`{"a":1}1`, "no"}, {`{"a":1}{}`, "no"},
		{`{"a":1,"a":1}`, "no"}, {`{"a":1,"\u0061":1}`, "no"}, {`{"a":1,"b":2,"a":1}`, "no"}, {`{"x":{"a":1,"a":1}}`, "no"}, {`{"x":[{"a":1,"a":1}]}`, "no"},
		{`[]`, "no"}, {`1`, "no"}, {`"a"`, "no"}, {`null`, "no"}, {`true`, "no"},
		{`{"a":[}`, "no"}, {`{"a":[1,]}`, "no"}, {`{"a":[,1]}`, "no"}, {`{"a":[1 2]}`, "no"}, {`{"a":[1}`, "no"}, {`{"a":[`, "no"}, {`{"a":]}`, "no"},
		{`{"a":01}`, "no"}, {`{"a":-}`, "no"}, {`{"a":+1}`, "no"}, {`{"a":.5}`, "no"}, {`{"a":1.}`, "no"}, {`{"a":1e}`, "no"}, {`{"a":1e+}`, "no"}, {`{"a":0x1}`, "no"},
		{`{"a":--1}`, "no"}, {`{"a":1e1.5}`, "no"}, {`{"a":NaN}`, "no"}, {`{"a":Infinity}`, "no"}, {`{"a":1_000}`, "no"},
		{`{"a":True}`, "no"}, {`{"a":tru}`, "no"}, {`{"a":nul`, "no"}, {`{"a":truex}`, "no"}, {`{"a":fals}`, "no"},
		{`{"a":"\x"}`, "no"}, {`{"a":"\u12"}`, "no"}, {`{"a":"\u12g4"}`, "no"}, {`{"a":"\`, "no"}, {`{"a":"\u`, "no"}, {`{"a":"\U0041"}`, "no"}, {`{"a":"\"}`, "no"},
		{`{"a":"\ud800"}`, "no"}, {`{"a":"\ud800\ud800"}`, "no"}, {`{"a":"\udc00\ud800"}`, "no"}, {`{"a":"\ud800x\udc00"}`, "no"}, {`{"a":"\ud800\udc0"}`, "no"},
		{`{"a":"\ud800\n\udc00"}`, "no"}, {`{"a":"\u0000"}`, "no"}, {`{"\u0000":1}`, "no"},
		{"{\"a\":\"\x00\"}", "no"}, {"{\"a\":\"\x1f\"}", "no"}, {"{\"a\":\"1234567\n\"}", "no"}, {"{\"a\":\"12345678\n12345678\"}", "no"},
		{"{\"a\":\"\xff\"}", "no"}, {"{\"a\":1}\xff", "no"}, {"\uFEFF{}", "no"}, {"{}\x00", "no"}, {"\v{}", "no"}, {"{\u00a0}", "no"}, {"{}\u2028", "no"},
		{`{"a":1/**/}`, "no"}, {"{//\n}", "no"},
	} {
		members, ok := parseObject(tt.text, nil, maxOfToken)
		got := "no"
		if ok {
			got = ""
			for _, m := range members {
				got += m.name + "=" + string(m.value) + " "
			}
		}
		if got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
		if ok != (tt.want != "no") || ok && !json.Valid([]byte(tt.text)) {
			t.Errorf("%q: %v, which encoding/json does not bear out", tt.text, ok)
		}
	}
}

// TestStringsOfAnyLength has what ends a string, and what must not stand in it, at every
// place in the eight bytes that are looked at at a time.
func TestStringsOfAnyLength(t *testing.T) {
	for n := range 40 {
		before := strings.Repeat("é", n/2) + strings.Repeat("x", n%2)
		for m := range 20 {
			after := strings.Repeat("\x7f", m)
			for _, middle := range []string{"", `\n`, `\"`, `\\`, `\u00e9`, "\xf0\x9f\x98\x80", " ", "!", "#", "[", "]"} {
				s := `{"k":"` + before + middle + after + `"}`
				members, ok := parseObject(s, nil, maxOfToken)
				var want map[string]string
				if err := json.Unmarshal([]byte(s), &want); err != nil {
					t.Fatal(err)
				}
				if got, _ := lookUp(members, "k").str(); !ok || got != want["k"] {
					t.Errorf("%q: %q, %v", s, got, ok)
				}
			}
			for _, middle := range []string{"\x00", "\x01", "\x1f", "\n", `"`, `\`, `\x`} {
				s := `{"k":"` + before + middle + after + "x\"}"
				if _, ok := parseObject(s, nil, maxOfToken); ok {
					t.Errorf("%q is taken", s)
				}
			}
		}
	}
}

func TestElements(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []value
		ok   bool
	}{
		{"[]", nil, true}, {"[ ]", nil, true}, {"[1]", []value{"1"}, true},
		{` [ 1 , "," , [ 2 , 3 ] , { "a" : [ ] } , null ] `, []value{"1", `","`, "[ 2 , 3 ]", `{ "a" : [ ] }`, "null"}, true},
		{`{"0":1}`, nil, false}, {`"[]"`, nil, false}, {"null", nil, false},
	} {
		members, ok := parseObject(`{"a":`+tt.text+`}`, nil, maxOfToken)
		if !ok {
			t.Fatal(tt.text)
		}
		got, ok := lookUp(members, "a").elements(maxMembers)
		if !reflect.DeepEqual(got, tt.want) || ok != tt.ok {
			t.Errorf("%s: %q, %v", tt.text, got, ok)
		}
	}
	if got, ok := value("").elements(maxMembers); got != nil || ok {
		t.Errorf("of no value: %q", got)
	}
}

// FuzzParseObject holds the parser to encoding/json: what it takes means the same
// there, and what it does not take is JSON there only for a reason that it has.
func FuzzParseObject(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1,"b":[true,null,{"c":"\u00e9\ud83d\ude00"}]}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"\u0061":-1.5e+3}`,
		`{"a":` + manyMembers("a", 100) + `,"b":` + manyMembers("b", 100) + `,"c":` + manyMembers("c", 100) + "}",
		strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), "{\"\xff\":1}", `{"iss":"ccr","aud":["x","y"],"exp":1795525200,"act":{"sub":"user:1"}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		members, ok := parseObject(text, nil, maxOfToken)
		if !ok {
			if json.Valid([]byte(text)) && isStrict(text) {
				t.Errorf("%q is refused", text)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%q is taken, and not JSON: %v", text, err)
		}
		if len(want) != len(members) {
			t.Fatalf("%q: %d members, want %d", text, len(members), len(want))
		}
		for _, m := range members {
			if string(want[m.name]) != string(m.value) {
				t.Errorf("%q: %q is %s, want %s", text, m.name, m.value, want[m.name])
			}
			if got, ok := m.value.str(); ok {
				var s string
				if err := json.Unmarshal(want[m.name], &s); err != nil || s != got {
					t.Errorf("%q: %q, want %q", m.value, got, s)
				}
			}
			if got, ok := m.value.elements(maxMembers); ok {
				var list []json.RawMessage
				if err := json.Unmarshal(want[m.name], &list); err != nil || len(list) != len(got) {
					t.Errorf("%q: %d elements, want %d", m.value, len(got), len(list))
				}
				for i := range got {
					if string(got[i]) != string(list[i]) {
						t.Errorf("%q: element %d is %s, want %s", m.value, i, got[i], list[i])
					}
				}
			}
		}
		if !isStrict(text) {
			t.Errorf("%q is taken", text)
		}
	})
}

func manyMembers(name string, n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"%s%d":1`, name, i))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// isStrict reports whether JSON is an object, in UTF-8, within the bounds, and without
// what parseObject refuses. It is another program for the same end. What holds a
// replacement character or a NUL, as encoding/json sees it, it leaves to parseObject.
func isStrict(text string) bool {
	if _, ok := parseObject(text, nil, maxOfToken); ok && strings.ContainsRune(text, utf8.RuneError) {
		return true
	}
	if !utf8.ValidString(text) {
		return false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	type level struct {
		object bool
		names  map[string]bool
		name   bool // is next
	}
	var levels []level
	first, all := true, 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
		if first && token != json.Delim('{') {
			return false
		}
		first = false
		if s, ok := token.(string); ok && strings.ContainsAny(s, "\x00\uFFFD") {
			return false
		}
		switch token {
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
			continue
		}
		if n := len(levels); n > 0 && levels[n-1].object {
			l := &levels[n-1]
			if l.name {
				name := token.(string)
				if all++; l.names[name] || len(l.names) == maxMembers || all > maxOfToken {
					return false
				}
				l.names[name], l.name = true, false
				continue
			}
			l.name = true
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			levels = append(levels, level{token == json.Delim('{'), map[string]bool{}, true})
			if len(levels) > maxDepth {
				return false
			}
		}
	}
}

// FuzzJWS takes anything apart: it does not panic, and what it allocates is in
// proportion to what it is given.
func FuzzJWS(f *testing.F) {
	for _, s := range []string{
		"eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.eyJpc3MiOiJjY3IiLCJleHAiOjF9.AAAA", "..", "e30.e30.AA", "a.b.c", "e30.e30", strings.Repeat("A", 100) + ".A.A",
		"eyJhbGciOiJFUzI1NiIsImp3ayI6e319.eyJhY3QiOnsic3ViIjoidXNlcjoxIiwiYWN0Ijp7fX19.AA",
	} {
		f.Add(s)
	}
	i := Issuer{Audiences: []string{"a"}, required: []required{{"iss", "ccr"}}}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxSize {
			return // as New has it
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		j, ok := parseJWS(text, new(scratch))
		var members []member
		if ok {
			members, _ = parseObject(j.payload, nil, maxOfToken)
			acceptedIn(lookUp(members, "aud"), i.Audiences)
			i.readClaims(new(Principal), members)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(16*len(text)+16<<10) {
			t.Errorf("%d bytes were allocated for %d", n, len(text))
		}
		if ok && (strings.Count(text, ".") != 2 || strings.ContainsAny(text, "=\r\n \t+/") || len(j.signature) == 0) {
			t.Errorf("%q is taken apart", text)
		}
	})
}
