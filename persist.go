package ingressauth

import (
	"path/filepath"

	"github.com/ingressauth/ingressauth/internal/privatefile"
)

// writeTokenFile writes text to the file at path, mode 0600, in a directory that
// is made, mode 0700, where there is none. What a writer left that was killed is swept.
func writeTokenFile(path, text string) error {
	dir, err := privatefile.OpenDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(path)
	privatefile.Sweep(dir, name)
	return privatefile.Write(dir, name, text, true)
}
