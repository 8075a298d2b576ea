package ingressauth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Profile names the places where a sandbox leaves a session token. An empty field
// means its default, so the zero Profile is the one that Claude Code's sandboxes
// use.
type Profile struct {
	// TokenVariable is the environment variable that holds the token itself.
	TokenVariable string `json:"token_variable,omitempty"`
	// DescriptorVariable is the variable that holds the number of an inherited
	// file descriptor from which the token can be read.
	DescriptorVariable string `json:"descriptor_variable,omitempty"`
	// FileVariable is the variable that holds the path of the token file.
	FileVariable string `json:"file_variable,omitempty"`
	// File is the absolute path of the token file where FileVariable is not set,
	// and the path that a token from a descriptor is written to for subprocesses
	// that inherit neither.
	File string `json:"file,omitempty"`
	// RemoteVariable is the variable that says, with 1, true, yes or on, that this
	// is a remote session: the only case in which a token is written to disk.
	RemoteVariable string `json:"remote_variable,omitempty"`
	// OrganizationVariable is the variable that holds the organisation that a
	// session key acts for.
	OrganizationVariable string `json:"organization_variable,omitempty"`
}

var defaultProfile = Profile{
	TokenVariable:        "CLAUDE_CODE_SESSION_ACCESS_TOKEN",
	DescriptorVariable:   "CLAUDE_CODE_WEBSOCKET_AUTH_FILE_DESCRIPTOR",
	FileVariable:         "CLAUDE_SESSION_INGRESS_TOKEN_FILE",
	File:                 "/home/claude/.claude/remote/.session_ingress_token",
	RemoteVariable:       "CLAUDE_CODE_REMOTE",
	OrganizationVariable: "CLAUDE_CODE_ORGANIZATION_UUID",
}

// WithDefaults returns p with every empty field set to its default.
func (p Profile) WithDefaults() Profile {
	d := defaultProfile
	return Profile{
		TokenVariable:        cmp.Or(p.TokenVariable, d.TokenVariable),
		DescriptorVariable:   cmp.Or(p.DescriptorVariable, d.DescriptorVariable),
		FileVariable:         cmp.Or(p.FileVariable, d.FileVariable),
		File:                 cmp.Or(p.File, d.File),
		RemoteVariable:       cmp.Or(p.RemoteVariable, d.RemoteVariable),
		OrganizationVariable: cmp.Or(p.OrganizationVariable, d.OrganizationVariable),
	}
}

// maxProfile bounds a profile's file, in bytes.
const maxProfile = 64 << 10

// LoadProfile reads a profile from a file that holds one JSON object, with members
// named like the fields, in lower case with underscores: "token_variable". Members
// of other names, names that no variable can have, two variables of one name and a
// path that is not absolute are errors.
func LoadProfile(path string) (Profile, error) {
	p, err := loadProfile(path)
	if err != nil {
		return Profile{}, fmt.Errorf("profile %s: %w", shown(path), err)
	}
	return p, nil
}

func loadProfile(path string) (Profile, error) {
	f, err := os.Open(path)
	if err != nil {
		return Profile{}, withoutPath(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return Profile{}, withoutPath(err)
	}
	if len(text) > maxProfile {
		return Profile{}, fmt.Errorf("longer than %d bytes", maxProfile)
	}
	var p Profile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Profile{}, fmt.Errorf("not a JSON object of a profile's members: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Profile{}, errors.New("more than one JSON value")
	}
	return p, p.check()
}

// check refuses a profile that could find nothing, or the wrong thing.
func (p Profile) check() error {
	p = p.WithDefaults()
	seen := make(map[string]string)
	for _, v := range []struct{ member, name string }{
		{"token_variable", p.TokenVariable},
		{"descriptor_variable", p.DescriptorVariable},
		{"file_variable", p.FileVariable},
		{"remote_variable", p.RemoteVariable},
		{"organization_variable", p.OrganizationVariable},
	} {
		if strings.ContainsAny(v.name, "=\x00") {
			return fmt.Errorf("%s: %s cannot be the name of a variable", v.member, shown(v.name))
		}
		if other, ok := seen[v.name]; ok {
			return fmt.Errorf("%s and %s are both %s: give each its own", other, v.member, shown(v.name))
		}
		seen[v.name] = v.member
	}
	if !filepath.IsAbs(p.File) && p.File != defaultProfile.File {
		return fmt.Errorf("file: %s is not an absolute path", shown(p.File))
	}
	return nil
}

// withoutPath takes the path out of a file's error, since the message that it goes
// into names the path already, in a form that is safe to show.
func withoutPath(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
