package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/ingressauth/ingressauth"
	"github.com/spf13/pflag"
)

// TestReadmeTables holds the README's tables of commands and of a profile's members
// to the code.
func TestReadmeTables(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{commandTable(), profileTable()} {
		if !strings.Contains(string(readme), table) {
			t.Errorf("README.md lacks this table, to the letter:\n%s", table)
		}
	}
}

func commandTable() string {
	root := newRoot()
	root.InitDefaultCompletionCmd()
	var b strings.Builder
	b.WriteString("| command | does | flags |\n| --- | --- | --- |\n")
	for _, cmd := range root.Commands() {
		if !cmd.IsAvailableCommand() {
			continue
		}
		var flags []string
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(f)
			flags = append(flags, strings.TrimSpace("`--"+f.Name+" "+strings.ToUpper(value))+"`")
		})
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", cmd.Name(), cmd.Short, strings.Join(flags, " "))
	}
	return b.String()
}

func profileTable() string {
	var b strings.Builder
	b.WriteString("| member | default |\n| --- | --- |\n")
	p := reflect.ValueOf(ingressauth.Profile{}.WithDefaults())
	for i := range p.NumField() {
		member, _, _ := strings.Cut(p.Type().Field(i).Tag.Get("json"), ",")
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", member, p.Field(i))
	}
	return b.String()
}
