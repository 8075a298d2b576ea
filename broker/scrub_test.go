package broker

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAnswerIsScrubbed has an upstream say the token in every place of a header.
func TestAnswerIsScrubbed(t *testing.T) {
	old := realToken
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Echo", "is "+r.Header.Get("Authorization")+" and "+old)
		h[newerToken+"-Name"] = []string{"1"}
		h.Set("Location", "https://elsewhere.example/?token="+newerToken)
		h.Add("Set-Cookie", "sessionKey="+newerToken+"; Path=/")
		h.Add("Set-Cookie", " sessionKey =other")
		h.Add("Set-Cookie", "a=1; Path=/")
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, "body")
		h.Set("X-Sum", newerToken)
	}, nil)
	w.do(w.request("GET", "/", nil))
	w.token.set(t, newerToken, "")
	response, _ := w.do(w.request("GET", "/", nil))
	h := response.Header
	if response.StatusCode != 302 || h.Get("X-Echo") != "is Bearer "+mask+" and "+mask || h.Get("Location") != "https://elsewhere.example/?token="+mask {
		t.Errorf("%s %v", response.Status, h)
	}
	if got := h["Set-Cookie"]; len(got) != 1 || got[0] != "a=1; Path=/" {
		t.Errorf("Set-Cookie %q", got)
	}
	if got := response.Trailer.Get("X-Sum"); got != mask {
		t.Errorf("trailer %q", got)
	}
	var all bytes.Buffer
	h.Write(&all)
	for _, text := range []string{old, newerToken, "X-Hop"} {
		if strings.Contains(strings.ToLower(all.String()), strings.ToLower(text)) {
			t.Errorf("the answer has %q: %s", text, all.String())
		}
	}
}

func TestScrubBodies(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		header       http.Header
		status       int
		want         string
		reason       Reason
	}{
		{name: "none", answer: "nothing here", want: "nothing here"},
		{name: "one", answer: "it is " + realToken + "!", want: "it is " + mask + "!"},
		{name: "many", answer: strings.Repeat(realToken, 1000), want: strings.Repeat(mask, 1000)},
		{name: "only a beginning", answer: "x" + realToken[:20], want: "x" + realToken[:20]},
		{name: "a beginning, and one", answer: realToken[:20] + realToken, want: realToken[:20] + mask},
		{name: "encoded", header: http.Header{"Content-Encoding": {"gzip"}}, status: 502, reason: Unscrubbable},
		{name: "identity", header: http.Header{"Content-Encoding": {"identity"}}, answer: realToken, want: mask},
		{name: "partial", header: http.Header{"Content-Range": {"bytes 0-1/2"}}, status: 502, reason: Unscrubbable},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("Range") != "" || r.Header.Get("If-Range") != "" {
					t.Errorf("header %v", r.Header)
				}
				h := w.Header()
				for name, values := range test.header {
					h[name] = values
				}
				for _, name := range []string{"Etag", "Last-Modified", "Content-Md5", "Digest", "Repr-Digest", "Accept-Ranges"} {
					h.Set(name, "x")
				}
				h.Set("Content-Length", fmt.Sprint(len(test.answer)))
				for text := test.answer; text != ""; { // in pieces of every size
					n := min(len(text), 1+len(text)%37)
					io.WriteString(w, text[:n])
					w.(http.Flusher).Flush()
					text = text[n:]
				}
			}, func(c *Config) { c.ScrubBodies = true })
			r := w.request("GET", "/", nil)
			r.Header.Set("Range", "bytes=0-1")
			r.Header.Set("If-Range", "x")
			r.Header.Set("Accept-Encoding", "gzip")
			response, body := w.do(r)
			if test.status == 0 {
				test.status = 200
			}
			if reason := reasonOf(t, response, body); response.StatusCode != test.status || reason != test.reason || test.reason == "" && body != test.want {
				t.Errorf("%s %q %q", response.Status, reason, body)
			}
			for _, name := range []string{"Etag", "Last-Modified", "Content-Md5", "Digest", "Repr-Digest", "Accept-Ranges"} {
				if response.Header.Get(name) != "" {
					t.Errorf("%s in the answer", name)
				}
			}
		})
	}
}

// TestScrubbedTrailer has a trailer say nothing of a body that is no longer the same.
func TestScrubbedTrailer(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Content-Digest, X-After")
		io.WriteString(w, realToken)
		w.Header().Set("Content-Digest", "x")
		w.Header().Set("X-After", "x")
	}, func(c *Config) { c.ScrubBodies = true })
	response, body := w.do(w.request("GET", "/", nil))
	if body != mask || response.Trailer.Get("X-After") != "x" || len(response.Trailer) != 1 {
		t.Errorf("%q, trailer %v", body, response.Trailer)
	}
}

// TestScrubberHoldsBackLittle has what cannot be a token arrive at once.
func TestScrubberHoldsBackLittle(t *testing.T) {
	from, to := io.Pipe()
	s := newScrubber(from, func() []string { return []string{"secret-token"} })
	buffer := make([]byte, 100)
	for _, step := range []struct{ write, read string }{
		{"hello", "hello"}, {" sec", " "}, {"ond sec", "second "}, {"ret-token!", mask + "!"},
	} {
		go io.WriteString(to, step.write)
		if n, err := s.Read(buffer); err != nil || string(buffer[:n]) != step.read {
			t.Fatalf("after %q: %q, %v; want %q", step.write, buffer[:n], err, step.read)
		}
	}
	go func() { io.WriteString(to, "se"); to.CloseWithError(io.ErrUnexpectedEOF) }()
	if rest, err := io.ReadAll(s); string(rest) != "" || err != io.ErrUnexpectedEOF { // it would have become one, perhaps
		t.Errorf("%q, %v", rest, err)
	}
}

// TestNamesAreScrubbed has an upstream announce a trailer that is called like the token.
func TestNamesAreScrubbed(t *testing.T) {
	w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", realToken+", Access-Control-Allow-Origin, X-Good")
		io.WriteString(w, "body")
		for _, name := range []string{realToken, "Access-Control-Allow-Origin", "X-Good"} {
			w.Header().Set(name, "*")
		}
	}, nil)
	response, _ := w.do(w.request("GET", "/", nil))
	if got := response.Trailer; len(got) != 1 || got.Get("X-Good") != "*" {
		t.Errorf("trailer %v", got)
	}
}

// TestCodings has an upstream hide a coding behind another.
func TestCodings(t *testing.T) {
	for _, test := range []struct {
		method  string
		status  int
		codings []string
		want    int
	}{
		{"GET", 200, []string{"identity", "gzip"}, 502},
		{"GET", 200, []string{"", "gzip"}, 502},
		{"GET", 200, []string{"identity, br"}, 502},
		{"GET", 200, []string{"identity", ""}, 200},
		{"HEAD", 200, []string{"gzip"}, 200},
		{"GET", 304, []string{"gzip"}, 304},
	} {
		w := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Encoding"] = test.codings
			w.WriteHeader(test.status)
		}, func(c *Config) { c.ScrubBodies = true })
		if response, _ := w.do(w.request(test.method, "/", nil)); response.StatusCode != test.want {
			t.Errorf("%+v: %s", test, response.Status)
		}
	}
}

// TestScrubsNested has tokens be the beginning of others, and a body be cut in one.
func TestScrubsNested(t *testing.T) {
	texts := []string{"token-and-more", "token", "nekot"}
	for in, want := range map[string]string{
		"a token-and-more b":  "a " + mask + " b",
		"a token-and-less b":  "a " + mask + "-and-less b",
		"tokentoken-and-more": mask + mask,
		"a token":             "a " + mask,
		"tokenekot":           mask + "ekot",
		"toktoken":            "tok" + mask,
	} {
		for _, piece := range []int{1, 2, 3, 100} {
			s := newScrubber(&pieces{in, piece}, func() []string { return texts })
			if got, err := io.ReadAll(s); string(got) != want || err != nil {
				t.Errorf("%q in pieces of %d: %q, %v; want %q", in, piece, got, err, want)
			}
		}
	}
}

// pieces reads a text in pieces.
type pieces struct {
	text string
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(p.n, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}

// FuzzScrubber wants no token in what comes out, however it came, and the rest as it was.
func FuzzScrubber(f *testing.F) {
	f.Add("a secret-token b", uint8(1))
	f.Add("secret-secret-token-tokensecret", uint8(3))
	f.Fuzz(func(t *testing.T, in string, n uint8) {
		texts := []string{"secret-token-and-more", "secret-token", "okt"}
		s := newScrubber(&pieces{in, int(n) + 1}, func() []string { return texts })
		out, err := io.ReadAll(s)
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := io.ReadAll(newScrubber(&pieces{in, len(in) + 1}, func() []string { return texts }))
		if string(out) != string(whole) {
			t.Errorf("%q in pieces of %d is %q, and at once %q", in, n, out, whole)
		}
		for part := range strings.SplitSeq(string(out), mask) {
			for _, text := range texts {
				if strings.Contains(part, text) {
					t.Errorf("%q in pieces of %d is %q", in, n, out)
				}
			}
		}
		if first, _ := first(in, texts); !strings.HasPrefix(string(out), in[:first]) {
			t.Errorf("%q is %q", in, out)
		}
	})
}
