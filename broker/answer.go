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
	if b.config.ScrubBodies {
		hasBody := x.r.Method != http.MethodHead && response.StatusCode != http.StatusNoContent && response.StatusCode != http.StatusNotModified
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
		if !x.hides(name, nil, b.known.all()) {
			own.Add("Trailer", name)
		}
	}
	x.closeAfter()
	x.record.Status = response.StatusCode
	streams := response.ContentLength < 0 || announced > 0 || b.config.ScrubBodies ||
		strings.HasPrefix(h.Get("Content-Type"), "text/event-stream")
	x.w.WriteHeader(response.StatusCode)
	if streams && x.r.Method != http.MethodHead {
		x.setStream(response.Body)
		defer x.setStream(nil)
		x.flush()
	}
	if err := x.copyBody(source, streams); err != nil {
		panic(http.ErrAbortHandler) // the child is to see that it was not all
	}
	x.passTrailer(response.Trailer, announced)
	return nil
}

func (x *exchange) flush() {
	if f, ok := x.w.(http.Flusher); ok {
		f.Flush()
	}
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
		if !x.hides(name, nil, texts) && name != "Set-Cookie" {
			own[prefix+name] = scrubbed(values, texts)
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyBody sends the body of an answer, and each piece at once if it streams.
func (x *exchange) copyBody(from io.Reader, streams bool) error {
	buffer := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			sent, failed := x.w.Write(buffer[:n])
			x.record.Sent += int64(sent)
			if failed != nil {
				return failed
			}
			if streams {
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
