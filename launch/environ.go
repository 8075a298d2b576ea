package launch

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// environment returns the child's variables, but for those whose values are not known
// yet: the Command's, in their order, less those that would lead past the delivery and
// those that are to be scrubbed, and then what is delivered.
func (c *Cmd) environment() ([]string, error) {
	for _, pattern := range c.Scrub {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("scrub: %w", err)
		}
	}
	// An old token wins against every delivery but its own variable, and an old number
	// against the file.
	shadows := []string{c.profile.TokenVariable, c.profile.DescriptorVariable}
	if c.delivers(File) {
		shadows = append(shadows, c.profile.FileVariable)
	}
	if c.Token.Organization() != "" {
		shadows = append(shadows, c.profile.OrganizationVariable)
	}
	for _, entry := range c.Command.Env { // which package os/exec refuses, too
		if strings.Contains(entry, "\x00") {
			return nil, errors.New("environment variable contains NUL")
		}
	}
	env := slices.DeleteFunc(slices.Clone(c.Command.Environ()), func(entry string) bool {
		name, _, ok := strings.Cut(entry, "=")
		return ok && (slices.Contains(shadows, name) || c.scrubs(name))
	})
	if c.delivers(Environment) {
		env = append(env, c.profile.TokenVariable+"="+c.Token.Reveal())
	}
	if c.Token.Organization() != "" {
		env = append(env, c.profile.OrganizationVariable+"="+c.Token.Organization())
	}
	return env, nil
}

func (c *Cmd) scrubs(name string) bool {
	return slices.ContainsFunc(c.Scrub, func(pattern string) bool {
		match, _ := path.Match(pattern, name)
		return match
	})
}

// set adds a variable of a delivery to the child's.
func (c *Cmd) set(name, value string) {
	c.Command.Env = append(c.Command.Env, name+"="+value)
}
