package refresh

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/ingressauth/ingressauth/internal/tokentext"
	"github.com/ingressauth/ingressauth/internal/webclient"
)

// EndpointError is what an [Endpoint] was answered in place of a token. It holds nothing of
// one: what looks like a token is masked.
type EndpointError struct {
	// Status is the HTTP status.
	Status int
	// Code is the "error" of RFC 6749, section 5.2, or of a later one: "invalid_request",
	// "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	// "invalid_scope", "invalid_target" (RFC 8693), "unsupported_token_type" (RFC 7009). It is
	// "" where the answer is none of OAuth.
	Code string
	// Description is the "error_description", up to 200 bytes of it. It is for people, and
	// may be "".
	Description string

	note  string // of an answer that is none of OAuth
	retry time.Duration
}

// hints say what can be done about an error.
var hints = map[string]string{
	"invalid_request":        "a parameter is missing or wrong",
	"invalid_client":         "the server does not believe the client: see its id and its secret, key or certificate",
	"invalid_grant":          "the subject token has expired, was revoked, or is not taken here",
	"unauthorized_client":    "this client may not use this grant",
	"unsupported_grant_type": "the server does not know this grant",
	"invalid_scope":          "the scope is unknown, or more than this client may have",
	"invalid_target":         "the audience or resource is unknown, or not for this client",
}

func (e *EndpointError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the server answered with status %d%s", e.Status, e.note)
	}
	text := e.Code
	if hint := hints[e.Code]; hint != "" {
		text += " (" + hint + ")"
	}
	if e.Description != "" {
		text += ": " + e.Description
	}
	return text
}

// rest is for how long the server is not to be asked: as it says, and as nobody gains by asking
// again soon what only a person can mend.
func (e *EndpointError) rest() time.Duration {
	switch e.Code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target":
		return longestBackoff
	}
	return e.retry
}

// parseError reads an answer that is not a success.
func parseError(response *http.Response, body []byte, secrets []string) error {
	e := &EndpointError{Status: response.StatusCode, retry: webclient.RetryAfter(response.Header.Get("Retry-After"))}
	if 300 <= e.Status && e.Status < 400 {
		e.note = ", a redirect, which is not followed: name the URL that it leads to"
		return e
	}
	var members map[string]json.RawMessage
	if len(body) > maxAnswer || json.Unmarshal(body, &members) != nil {
		if kind, _, err := mime.ParseMediaType(response.Header.Get("Content-Type")); err == nil && kind != "application/json" {
			e.note = " and " + said(kind, secrets...)
		}
		return e
	}
	e.read(members, secrets)
	return e
}

// read takes what the members of an answer say.
func (e *EndpointError) read(members map[string]json.RawMessage, secrets []string) {
	if e.Code = said(text(members, "error"), secrets...); e.Code != "" {
		e.Description = said(text(members, "error_description"), secrets...)
	}
}

// said is what a server says, in a form that is safe to show.
func said(s string, secrets ...string) string {
	return printable(tokentext.Mask(s, secrets...))
}

// printable is text as it is put into an error: the beginning of it, without what could harm a
// terminal.
func printable(text string) string {
	const most = 200
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// text returns a member that is a string, or "".
func text(members map[string]json.RawMessage, name string) string {
	var s string
	if json.Unmarshal(members[name], &s) != nil {
		return ""
	}
	return s
}

// parseAnswer reads a token and for how long it is good (RFC 6749, section 5.1).
// It returns its "issued_token_type" (RFC 8693, section 2.2.1), too, or "".
func parseAnswer(body []byte, secrets []string) (got issued, kind string, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return issued{}, "", errors.New("the answer is not a JSON object: is this the URL of a token endpoint?")
	}
	e := &EndpointError{Status: http.StatusOK} // of servers that answer all with 200
	if e.read(members, secrets); e.Code != "" {
		return issued{}, "", e
	}
	access := text(members, "access_token")
	if access == "" {
		return issued{}, "", errors.New(`the answer has no "access_token"`)
	}
	switch kind := text(members, "token_type"); strings.ToLower(kind) {
	case "bearer", "n_a":
	case "":
		return issued{}, "", errors.New(`the answer has no "token_type"`)
	default:
		return issued{}, "", fmt.Errorf("the token is of the type %s, and not Bearer", said(kind, secrets...))
	}
	life, err := expiresIn(members["expires_in"])
	if err != nil {
		return issued{}, "", err
	}
	token, err := newToken(access)
	if err != nil {
		return issued{}, "", fmt.Errorf("the access token cannot be used: %w", err)
	}
	kind = text(members, "issued_token_type")
	if kind == typeRefreshToken {
		return issued{}, "", errors.New("the token that was issued is a refresh token, which is sent to no service")
	}
	return issued{token, life}, kind, nil
}

// expiresIn reads a number of seconds, also one in a string, as some servers have it. 0 is that
// it is not there. What is longer than a year is a year.
func expiresIn(raw json.RawMessage) (time.Duration, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, nil
	}
	number := string(raw)
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		number = quoted
	}
	const year = 365 * 24 * 60 * 60
	seconds, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), strings.Trim(number, "0123456789.eE+-") != "":
		return 0, errors.New(`"expires_in" is not a number of seconds`)
	case seconds <= 0:
		return 0, errors.New(`the token has expired already, as "expires_in" says`)
	}
	return max(1, time.Duration(min(seconds, year)*float64(time.Second))), nil
}
