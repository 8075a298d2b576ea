// Package origin reads what names where a credential may go.
package origin

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// Parse returns the origin (RFC 6454, section 4) that a text names, as a URL with its host in
// lower case and without a path. Which schemes there are is the caller's to say.
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New(`not an origin: write it like "https://service.example:8443"`)
	}
	if u.User != nil || u.Opaque != "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return nil, errors.New("an origin is a scheme, a host and a port, and nothing else")
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return nil, errors.New("there is no such port: they end with 65535")
		}
	}
	for i := range len(u.Host) {
		if u.Host[i] <= ' ' || u.Host[i] >= 0x7F {
			return nil, errors.New(`a host is written in ASCII: in letters of other scripts, as "xn--..."`)
		}
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}, nil
}
