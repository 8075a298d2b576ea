package ingressauth

import (
	"maps"
	"os"
	"slices"
	"sync"
)

// environment guards this process's environment, which all resolvers share.
var environment environmentGuard

// environmentGuard makes several variables change as one for those who read them
// under its lock, and wakes those who wait for a change. What is set past it, by
// [os.Setenv], is seen, too, but wakes nobody.
type environmentGuard struct {
	lock sync.RWMutex
	// One a waiter, of one place, and gone with it: none outlives its caller.
	waiting map[chan struct{}]struct{}
}

// set sets all of these variables, or none of them. An empty value unsets a
// variable that unset names.
func (g *environmentGuard) set(variables map[string]string, unset string) error {
	g.lock.Lock()
	defer g.lock.Unlock()
	var undo []func() error
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		undo = append(undo, restore(name))
		var err error
		if value := variables[name]; value == "" && name == unset {
			err = os.Unsetenv(name)
		} else {
			err = os.Setenv(name, value)
		}
		if err != nil {
			for _, u := range slices.Backward(undo) {
				u() // what was there could be set once, and so can be again
			}
			return err
		}
	}
	for c := range g.waiting {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return nil
}

// restore returns a function that makes a variable what it is now.
func restore(name string) func() error {
	value, ok := os.LookupEnv(name)
	if !ok {
		return func() error { return os.Unsetenv(name) }
	}
	return func() error { return os.Setenv(name, value) }
}

// get returns the values of two variables as they stood at one time.
func (g *environmentGuard) get(one, other string) (string, string) {
	g.lock.RLock()
	defer g.lock.RUnlock()
	return os.Getenv(one), os.Getenv(other)
}

// watch returns a channel that has something in it after each change, and a
// function that ends that.
func (g *environmentGuard) watch() (changed <-chan struct{}, end func()) {
	c := make(chan struct{}, 1)
	g.lock.Lock()
	defer g.lock.Unlock()
	if g.waiting == nil {
		g.waiting = make(map[chan struct{}]struct{})
	}
	g.waiting[c] = struct{}{}
	return c, func() {
		g.lock.Lock()
		defer g.lock.Unlock()
		delete(g.waiting, c)
	}
}
