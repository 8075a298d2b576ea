package broker

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Reason says why a [Broker] has answered a request itself. It is the last part of the "type"
// of the problem that the answer is (RFC 9457).
type Reason string

const (
	// Malformed is a request that can be read in more than one way, or that has no business
	// here, as TRACE: status 400.
	Malformed Reason = "Malformed"
	// NoPhantom is one without a phantom where that is required: 401.
	NoPhantom Reason = "NoPhantom"
	// InvalidPhantom is one with a phantom of another broker, or that has expired, or was taken
	// back: 401.
	InvalidPhantom Reason = "InvalidPhantom"
	// ForeignCredential is one with a credential that is no phantom: 403.
	ForeignCredential Reason = "ForeignCredential"
	// NotInTree is one on a Unix socket from a process that does not descend from a child's
	// supervisor: 403.
	NotInTree Reason = "NotInTree"
	// WrongOrigin is one that a page of another origin has a browser send: 403.
	WrongOrigin Reason = "WrongOrigin"
	// NoRoute is one that no route is for, or that its rules do not allow: 404.
	NoRoute Reason = "NoRoute"
	// TooLarge is one whose body is longer than allowed: 413; or its header: 431.
	TooLarge Reason = "TooLarge"
	// WrongHost is one whose Host is not this port of this machine: 421.
	WrongHost Reason = "WrongHost"
	// UpstreamFailed says that the upstream could not be reached, ended too soon, or answered
	// what makes no sense: 502. Where an answer was begun, it ends in the middle.
	UpstreamFailed Reason = "UpstreamFailed"
	// Unscrubbable is an answer in which no token could be looked for, though it is to be: 502.
	Unscrubbable Reason = "Unscrubbable"
	// NoToken says that there is no token, or that it cannot be had: 503.
	NoToken Reason = "NoToken"
	// UpstreamSlow says that the upstream did not answer in time: 504.
	UpstreamSlow Reason = "UpstreamSlow"
)

// problemType is what the type of a problem begins with. What is there is this documentation.
const problemType = "https://pkg.go.dev/github.com/ingressauth/ingressauth/broker#"

var statuses = map[Reason]int{
	Malformed: http.StatusBadRequest, NoPhantom: http.StatusUnauthorized, InvalidPhantom: http.StatusUnauthorized,
	ForeignCredential: http.StatusForbidden, NotInTree: http.StatusForbidden, WrongOrigin: http.StatusForbidden,
	NoRoute: http.StatusNotFound, TooLarge: http.StatusRequestEntityTooLarge, WrongHost: http.StatusMisdirectedRequest,
	UpstreamFailed: http.StatusBadGateway, Unscrubbable: http.StatusBadGateway,
	NoToken: http.StatusServiceUnavailable, UpstreamSlow: http.StatusGatewayTimeout,
}

// failure is an answer of the broker's own.
type failure struct {
	reason Reason
	status int
	detail string
}

func refusal(reason Reason, detail string) *failure {
	return &failure{reason, statuses[reason], detail}
}

// answer sends it.
func (f *failure) answer(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = []string{"application/problem+json"}
	h["Cache-Control"] = []string{"no-store"}
	if f.status == http.StatusUnauthorized {
		h["Www-Authenticate"] = []string{"Bearer"}
	}
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{problemType + string(f.reason), http.StatusText(f.status), f.status, f.detail})
	if err != nil {
		panic(err) // there is nothing in it that is not JSON
	}
	body = append(body, '\n')
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(f.status)
	w.Write(body) // which sends none for HEAD
}
