package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/ingressauth/ingressauth/control"
)

// TestDemoSeesWhatIsWrong gives the demonstration children that find nothing, or
// another token, or that die.
func TestDemoSeesWhatIsWrong(t *testing.T) {
	want := madeUp()
	for _, tt := range []struct{ answers, row string }{
		{strings.Repeat(`{"error":"no session token: SOMEWHERE"}`+"\n", 5000), "no session token: SOMEWHERE; WRONG: it should be " + want.Fingerprint()},
		{strings.Repeat(`{"fingerprint":"12345678","where":"file"}`+"\n", 5000), "WRONG: it should be " + want.Fingerprint()},
		{"", "WRONG"},
		{"not JSON\n", "WRONG"},
	} {
		var out strings.Builder
		d := &demo{table: tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)}
		c := &child{in: control.Writer{Out: io.Discard}, out: bufio.NewReader(strings.NewReader(tt.answers))}
		d.check("child", "first", want, c)
		d.table.Flush()
		if d.wrong != 1 || !strings.Contains(out.String(), tt.row) {
			t.Errorf("%.40q: %d wrong, and it says %q", tt.answers, d.wrong, out.String())
		}
	}
	d := &demo{table: tabwriter.NewWriter(io.Discard, 0, 0, 2, ' ', 0)}
	c := &child{in: control.Writer{Out: io.Discard}, out: bufio.NewReader(strings.NewReader(
		`{"fingerprint":"00000000"}` + "\n" + `{"fingerprint":"` + want.Fingerprint() + `"}` + "\n"))}
	if d.check("child", "first", want, c); d.wrong != 0 {
		t.Error("a child that found it the second time is wrong")
	}
}

func TestComplaintsAreTwoLines(t *testing.T) {
	var out strings.Builder
	err := errors.Join(errors.New("one"), errors.New("two"))
	_, hint := judge(err)
	complain(&out, err, hint)
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, "ingressauth: one; two\nhint: ") {
		t.Errorf("%q", got)
	}
}
