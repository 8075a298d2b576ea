//go:build !linux

package main

import "github.com/spf13/cobra"

// guard supervises the command in this process: elsewhere orphans cannot be adopted, and
// who is killed ends nothing.
func guard(cmd *cobra.Command, o *runOptions, args []string) error { return o.supervise(cmd, args) }
