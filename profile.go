package ingressauth

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/ingressauth/ingressauth/internal/jsonobject"
	"github.com/ingressauth/ingressauth/internal/readfile"
	"github.com/ingressauth/ingressauth/internal/tokentext"
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
	// RemoteVariable is the variable that marks a remote session, with 1, true, yes
	// or on. Elsewhere no token is written to disk.
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

// LoadProfile reads a profile from a file that holds one JSON object of strings,
// with members named like the fields, in lower case with underscores:
// "token_variable". A member of another name, or one that is there twice, a name
// that no variable can have, two variables of one name and a path that is not
// absolute are errors. If the file is a pipe, it must end within two seconds.
func LoadProfile(path string) (Profile, error) {
	p, err := loadProfile(path)
	if err != nil {
		return Profile{}, fmt.Errorf("profile %s: %w", shownPath(path), err)
	}
	return p, nil
}

func loadProfile(path string) (Profile, error) {
	text, err := readfile.OrPipe(path, maxProfile+1, readTimeout)
	if err != nil {
		return Profile{}, err
	}
	if len(text) > maxProfile {
		return Profile{}, fmt.Errorf("longer than %d bytes", maxProfile)
	}
	var p Profile
	if err := p.parse(text); err != nil {
		return Profile{}, err
	}
	return p, p.check()
}

// member is a field of a profile by its name in JSON.
type member struct {
	name  string
	value *string
}

// members are the fields of p. The last one is a path, the others name variables.
func (p *Profile) members() []member {
	return []member{
		{"token_variable", &p.TokenVariable},
		{"descriptor_variable", &p.DescriptorVariable},
		{"file_variable", &p.FileVariable},
		{"remote_variable", &p.RemoteVariable},
		{"organization_variable", &p.OrganizationVariable},
		{"file", &p.File},
	}
}

// parse reads a profile.
func (p *Profile) parse(text []byte) error {
	var members []jsonobject.Member
	for _, m := range p.members() {
		members = append(members, jsonobject.Member{Name: m.name, Value: m.value, Is: "a string"})
	}
	return jsonobject.Read(text, members)
}

// check refuses a profile that could find nothing, or the wrong thing.
func (p Profile) check() error {
	p = p.WithDefaults()
	members := p.members()
	variables := members[:len(members)-1]
	for i, v := range variables {
		if !tokentext.IsVariable(*v.value) {
			return fmt.Errorf("%s: that cannot be the name of a variable: letters, digits and _, and no digit first", v.name)
		}
		for _, other := range variables[:i] {
			if *other.value == *v.value {
				return fmt.Errorf("%s and %s name the same variable: give each its own", other.name, v.name)
			}
		}
	}
	if !filepath.IsAbs(p.File) && p.File != defaultProfile.File {
		return fmt.Errorf("file: %s is not an absolute path", shownPath(p.File))
	}
	return nil
}
