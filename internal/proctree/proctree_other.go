//go:build !linux

package proctree

import (
	"errors"
	"time"
)

// Adopt says that orphans cannot be adopted here.
func Adopt() error { return errors.ErrUnsupported }

// Reap does nothing: no child is adopted here.
func Reap(...int) {}

// Group is what there is none of here.
type Group struct{}

// NewGroup returns nil.
func NewGroup() *Group { return nil }

// Remove does nothing.
func (*Group) Remove() {}

// End says that nothing tells here what descends from a process for good.
func End(time.Duration, <-chan struct{}, *Group) error { return errors.ErrUnsupported }
