// Package jsonobject reads configuration files: strictly, since encoding/json takes names of
// members in any case, and twice, and shows those that it does not know.
package jsonobject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Member is a member that may be there.
type Member struct {
	Name  string
	Value any    // where it goes, as for [json.Unmarshal]
	Is    string // what it is, for errors: "a string"
}

// Read reads one JSON object of these members, each of which may be left out, and is not null.
// Errors show nothing of the text but the names of members that are known.
func Read(text []byte, members []Member) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	left := slices.Clone(members)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return errors.New("not JSON")
		}
		i := slices.IndexFunc(left, func(m Member) bool { return m.Name == name })
		if i < 0 {
			var names []string
			for _, m := range members {
				names = append(names, m.Name)
			}
			return errors.New("a member twice, or one that is none of " + strings.Join(names, ", "))
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return errors.New("not JSON")
		}
		if string(raw) == "null" || json.Unmarshal(raw, left[i].Value) != nil {
			return fmt.Errorf("%s: not %s", left[i].Name, left[i].Is)
		}
		left = slices.Delete(left, i, i+1)
	}
	if _, err := d.Token(); err != nil {
		return errors.New("not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}
