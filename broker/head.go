package broker

import (
	"bytes"
	"net/url"
	"strings"
)

// cutLine returns the first line, without its end, and whether there is a whole one. A line
// ends with CR and LF, and has neither inside.
func cutLine(b []byte) (line []byte, ok bool, v *violation) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, false, nil
	}
	if end == 0 || b[end-1] != '\r' {
		return nil, false, malformed("a line ends without CR")
	}
	line = b[:end-1]
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, false, malformed("a CR stands inside a line")
	}
	return line, true, nil
}

// head is what is known of a request's head so far.
type head struct {
	problem string // the first, "" if there is none
	version string
	host    string
	hosts   int
	// authority is that of a target in absolute form.
	authority string
	absolute  bool
	lengths   int
	length    int64
	codings   int
	chunked   bool
	upgrades  bool // to a WebSocket
	// upgradeLines is how many fields say what to upgrade to.
	upgradeLines int
}

func (h *head) empty() bool { return h.version == "" && h.problem == "" }

func (h *head) note(problem string) {
	if h.problem == "" {
		h.problem = problem
	}
}

func (h *head) line(line []byte) {
	if h.problem != "" {
		return // all the lines are read before that is said
	}
	if h.version == "" {
		h.requestLine(line)
		return
	}
	name, value, problem := cutField(line)
	if problem != "" {
		h.note(problem)
		return
	}
	switch len(name) {
	case len("Host"):
		if is(name, "host") {
			h.hosts++
			h.host = string(value)
			for _, c := range value {
				if !hostOctets[c] {
					h.note("Host holds a character that no host has")
				}
			}
		}
	case len("Upgrade"): // and Trailer
		if is(name, "trailer") {
			list := []string{string(value)}
			if has(list, "transfer-encoding") || has(list, "content-length") || has(list, "trailer") {
				h.note("Trailer names a field that no trailer has")
			}
		}
		if is(name, "upgrade") && has([]string{string(value)}, "websocket") {
			// One protocol is asked for, or another than that: who takes up which is not in doubt.
			if h.upgrades = len(value) == len("websocket"); !h.upgrades {
				h.note("Upgrade names a WebSocket and something else")
			}
			h.upgradeLines++
		} else if is(name, "upgrade") {
			h.upgradeLines++
		}
	case len("Expect"):
		if is(name, "expect") && !bytes.EqualFold(value, []byte("100-continue")) {
			h.note("Expect is not 100-continue")
		}
	case len("Content-Length"):
		if is(name, "content-length") {
			h.lengths++
			var ok bool
			if h.length, ok = decimal(value); !ok {
				h.note("Content-Length is no number")
			}
		}
	case len("Transfer-Encoding"):
		if is(name, "transfer-encoding") {
			h.codings++
			if h.chunked = bytes.EqualFold(value, []byte("chunked")); !h.chunked {
				h.note("Transfer-Encoding is not just chunked")
			}
		}
	}
}

func (h *head) requestLine(line []byte) {
	h.version = "?"
	method, rest, _ := bytes.Cut(line, []byte(" "))
	uri, version, _ := bytes.Cut(rest, []byte(" "))
	h.version = string(version)
	if h.version != "HTTP/1.1" && h.version != "HTTP/1.0" {
		h.version = "?"
		h.note("the first line is not a method, a target and HTTP/1.1, with one space between them")
		return
	}
	if !isToken(string(method)) {
		h.note("the method is no token")
	}
	if string(uri) == "*" && string(method) == "OPTIONS" {
		return
	}
	for _, c := range uri {
		if c <= ' ' || c >= 0x7F || c == '#' {
			h.note("the target holds a character that no target has")
			return
		}
	}
	if len(uri) > 0 && uri[0] == '/' {
		h.parse(uri)
		return
	}
	const scheme = "http://"
	if len(uri) <= len(scheme) || !strings.EqualFold(string(uri[:len(scheme)]), scheme) {
		h.note("the target is no path")
		return
	}
	authority := uri[len(scheme):]
	if i := bytes.IndexAny(authority, "/?"); i >= 0 {
		authority = authority[:i]
	}
	h.absolute, h.authority = true, string(authority)
	if bytes.IndexByte(authority, '@') >= 0 {
		h.note("the target holds user information")
	}
	h.parse(uri)
}

// parse notes what the server would refuse in words of its own.
func (h *head) parse(uri []byte) {
	if !h.absolute && bytes.IndexByte(uri, '%') < 0 {
		return
	}
	if _, err := url.ParseRequestURI(string(uri)); err != nil {
		h.note("the target is no URL")
	}
}

// end judges what depends on more than one line.
func (h *head) end() {
	switch {
	case h.hosts > 1 || h.hosts == 0 && h.version == "HTTP/1.1":
		h.note("there is not one Host")
	case h.absolute && !strings.EqualFold(h.authority, h.host):
		h.note("Host is unlike the target")
	case h.lengths > 1:
		h.note("Content-Length stands twice")
	case h.codings > 1:
		h.note("Transfer-Encoding stands twice")
	case h.codings > 0 && h.lengths > 0:
		h.note("Content-Length and Transfer-Encoding contradict each other")
	case h.codings > 0 && h.version != "HTTP/1.1":
		h.note("HTTP/1.0 has no Transfer-Encoding")
	case h.upgrades && h.upgradeLines > 1:
		h.note("Upgrade names a WebSocket and something else")
	case h.upgrades && (h.codings > 0 || h.length > 0):
		h.note("a request for a WebSocket has a body")
	}
}

// cutField reads a field line (RFC 9112, section 5).
func cutField(line []byte) (name, value []byte, problem string) {
	if line[0] == ' ' || line[0] == '\t' {
		return nil, nil, "a field goes on in another line"
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return nil, nil, "a field has no colon"
	}
	for _, c := range name {
		if !tokenOctets[c] {
			return nil, nil, "a field's name is no token"
		}
	}
	if len(name) == 0 {
		return nil, nil, "a field has no name"
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7F {
			return nil, nil, "a field holds a control character"
		}
	}
	return name, bytes.Trim(value, " \t"), ""
}

// is reports whether a name is this one, which is in lower case and of the same length.
func is(name []byte, lower string) bool {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// hostOctets are those that a server takes in Host.
var hostOctets = func() (set [256]bool) {
	for c := range set {
		set[c] = isUnreserved(byte(c)) || c < 0x80 && strings.IndexByte("!$%&'()*+,:;=[]", byte(c)) >= 0
	}
	return set
}()

// decimal reads a number of digits alone.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// chunkSize reads the line before a chunk. What follows a semicolon is an extension, which
// everybody ignores.
func chunkSize(line []byte) (n int64, ok bool) {
	digits, extension, _ := bytes.Cut(line, []byte(";"))
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	for _, c := range digits {
		if !isHex(c) {
			return 0, false
		}
		n = n<<4 | int64(unhex(c))
	}
	for _, c := range extension {
		if c < ' ' && c != '\t' || c == 0x7F {
			return 0, false
		}
	}
	return n, true
}
