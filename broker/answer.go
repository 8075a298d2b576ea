package broker

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
)

// maxHints is how often an upstream may send something before its answer that is passed on.
const maxHints = 16

// manyHints is how often it may do so at all, as nothing else but the time for an answer bounds it.
const manyHints = 1000

var errHints = errors.New("the upstream sends no end of what comes before an answer")

// pass1xx passes on what comes before an answer. The server has its own way for 100.
func (x *exchange) pass1xx(code int, h textproto.MIMEHeader) error {
	x.hints.Lock()
	defer x.hints.Unlock()
	if x.hinted++; x.hinted > manyHints {
		return errHints
	}
	if x.hinted > maxHints || x.answered || code == http.StatusContinue || code == http.StatusSwitchingProtocols {
		return nil
	}
	own := x.w.Header()
	x.copyHeader(own, http.Header(h))
	delete(own, "Content-Length")
	x.w.WriteHeader(code)
	clear(own)
	return nil
}

// copyHeader has an answer have these fields, but for those that are not the child's to see.
func (x *exchange) copyHeader(own, h http.Header) {
	texts := x.broker.known.all()
	for name, values := range h {
		if x.hides(name, h["Connection"], texts) {
			continue
		}
		if name == "Set-Cookie" {
			if values = otherCookies(values); len(values) == 0 {
				continue
			}
		}
		own[name] = scrubbed(values, texts)
	}
}

// hides reports whether a field is of the connection to the upstream alone, which may list it, or
// not for a child to see.
func (x *exchange) hides(name string, listed, texts []string) bool {
	return isHopByHop(name) || listed != nil && has(listed, name) || reveals(name, texts) ||
		x.broker.config.ScrubBodies && slices.Contains(ofBody, name) ||
		x.connection.listener.port != "" && strings.HasPrefix(name, "Access-Control-") // no page is to read this
}

// ofBody are fields that say what a body is like, and would not after a token was taken out of it.
var ofBody = []string{"Content-Length", "Etag", "Last-Modified", "Accept-Ranges", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"}

// pass passes an answer on.
func (x *exchange) pass(response *http.Response) *failure {
	b := x.broker
	own, h := x.w.Header(), response.Header
	if response.StatusCode < 200 || response.StatusCode > 999 {
		return refusal(UpstreamFailed, "the upstream answered with a status that there is not")
	}
	source := io.Reader(response.Body)
	hasBody := x.r.Method != http.MethodHead && response.StatusCode != http.StatusNoContent && response.StatusCode != http.StatusNotModified
	if !hasBody { // of which HTTP/2 may say how long it would be, and package net/http then misses it
		source = http.NoBody
	}
	if b.config.ScrubBodies {
		if hasBody && isEncoded(h["Content-Encoding"]) {
			return refusal(Unscrubbable, "the upstream has encoded its answer, though it was not to, and no token can be looked for in it")
		}
		if hasBody && (response.StatusCode == http.StatusPartialContent || h["Content-Range"] != nil) {
			return refusal(Unscrubbable, "the upstream has answered in part, and no token can be looked for in what is cut")
		}
		source = newScrubber(source, b.known.all)
	}
	x.copyHeader(own, h)
	if _, ok := own["Content-Type"]; !ok {
		own["Content-Type"] = nil // so that nobody guesses one
	}
	announced := len(response.Trailer)
	for name := range response.Trailer {
		if !x.hidesTrailer(name, b.known.all()) {
			own.Add("Trailer", name)
		}
	}
	x.closeAfter()
	x.record.Status = response.StatusCode
	streams := response.ContentLength < 0 || announced > 0 || b.config.ScrubBodies ||
		strings.HasPrefix(h.Get("Content-Type"), "text/event-stream")
	x.w.WriteHeader(response.StatusCode)
	if streams && hasBody {
		x.setStream(response.Body)
		defer x.setStream(nil)
	}
	if hasBody && (streams || response.ContentLength > int64(len(buffer{}))) {
		x.flush()
	}
	if err := x.copyBody(source, response.ContentLength, streams); err != nil {
		x.breakOff(err)
	}
	x.passTrailer(response.Trailer, announced)
	x.noteWorking()
	return nil
}

func (x *exchange) flush() {
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush()
	}
}

// hidesTrailer reports whether a field is not for a child to see, or means nothing after a body, where
// it may be taken for one that stands before it (RFC 9110, section 6.5.1).
func (x *exchange) hidesTrailer(name string, texts []string) bool {
	switch name {
	case "Set-Cookie", "Authorization", "Www-Authenticate", "Cache-Control", "Pragma", "Expect", "Host", "Max-Forwards", "Range",
		"Realm", "Content-Type", "Content-Encoding", "Content-Length", "Content-Range":
		return true
	}
	return strings.HasPrefix(name, "If-") || x.hides(name, nil, texts)
}

// passTrailer sends the fields after the body.
func (x *exchange) passTrailer(h http.Header, announced int) {
	if len(h) == 0 {
		return
	}
	own := x.w.Header()
	texts := x.broker.known.all()
	prefix := ""
	if len(h) != announced { // there are more than the upstream has announced
		prefix = http.TrailerPrefix
	}
	x.flush() // which has the body be chunked, and so have a trailer
	for name, values := range h {
		if !x.hidesTrailer(name, texts) {
			own[prefix+name] = scrubbed(values, texts)
		}
	}
}

// breakOff ends an answer of which the rest does not come. The child is to see what did, and that
// it was not all.
func (x *exchange) breakOff(err error) {
	if x.ctx.Err() == nil { // else the child has gone, or has been removed
		x.flush()
		if _, wrong := x.body.count(); wrong == nil && !x.isStale() {
			x.record.Reason = UpstreamFailed
			x.noteFailing(err)
		}
	}
	panic(http.ErrAbortHandler)
}

type buffer [32 << 10]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// copyBody sends the body of an answer, of this length if that is known, and each piece at once but
// for the last, which is sent with the end if the answer does not stream. The error is of reading.
func (x *exchange) copyBody(from io.Reader, length int64, streams bool) error {
	own := buffers.Get().(*buffer)
	defer buffers.Put(own)
	for {
		n, err := from.Read(own[:])
		if n > 0 {
			sent, failed := x.w.Write(own[:n])
			x.record.Sent += int64(sent)
			if failed != nil { // nobody takes it
				panic(http.ErrAbortHandler)
			}
			if streams || x.record.Sent < length {
				x.flush()
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// setStream notes what goes on for as long as it likes, which CloseOnRotate ends.
func (x *exchange) setStream(what io.Closer) {
	if !x.broker.config.CloseOnRotate || !x.attached {
		return
	}
	x.lock.Lock()
	x.stream = what
	x.lock.Unlock()
	x.broker.lock.Lock()
	defer x.broker.lock.Unlock()
	if what != nil {
		x.broker.rotating[x] = struct{}{}
	} else {
		delete(x.broker.rotating, x)
	}
}

// isEncoded reports whether a body has a coding (RFC 9110, section 8.4).
func isEncoded(codings []string) bool {
	for _, value := range codings {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = textproto.TrimString(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return true
			}
		}
	}
	return false
}
