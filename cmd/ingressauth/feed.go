package main

import (
	"bytes"
	"io"
	"os"
	"sync"
)

// feed passes our standard input to the command that is running. What a command has not
// taken that ends, or that closes its standard input, is lost; the next command begins with
// a line.
type feed struct {
	in io.Reader
	// observe is asked before anything is passed on, and told afterwards whether the command
	// has got it. It is nil where nothing depends on what passes; then the end of the
	// command's interest is the end of ours.
	observe func(passed bool, err error)
	// drains has it read on when the command's interest has ended, as what is read has an
	// effect of its own.
	drains bool

	lock  sync.Mutex
	ready *sync.Cond
	to    io.WriteCloser // nil between two commands
	deaf  bool           // nobody reads what is written to it
	ended bool

	within bool // a line that was begun
	cut    bool // that line belongs to the command before
}

func newFeed(in io.Reader, observe func(bool, error)) *feed {
	f := &feed{in: in, observe: observe}
	f.ready = sync.NewCond(&f.lock)
	return f
}

// connect has what comes from now on passed to this command; nil has it wait for the next.
func (f *feed) connect(to io.WriteCloser) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.to, f.deaf, f.cut = to, false, f.within
	if to != nil && f.ended {
		to.Close()
	}
	f.ready.Broadcast()
}

// run reads to the end. It ends with the process, if nobody closes what it reads.
func (f *feed) run() {
	b := make([]byte, 64<<10)
	for {
		n, err := f.in.Read(b)
		if n > 0 && f.observe != nil {
			f.observe(false, nil)
		}
		if n > 0 {
			failed := f.pass(b[:n])
			if f.observe != nil {
				f.observe(true, failed)
			} else if failed != nil && !f.drains {
				discard(os.Stdin) // so that whoever writes there learns of it
				return
			}
		}
		if err != nil {
			f.end()
			return
		}
	}
}

// pass writes to the command that is running, or to the next one.
func (f *feed) pass(p []byte) error {
	f.lock.Lock()
	for f.to == nil {
		f.ready.Wait()
	}
	to, deaf := f.to, f.deaf
	f.within = p[len(p)-1] != '\n'
	if f.cut {
		line := bytes.IndexByte(p, '\n') + 1
		if line == 0 {
			line = len(p)
		} else {
			f.cut = false
		}
		p = p[line:]
	}
	f.lock.Unlock()
	switch {
	case deaf:
		return io.ErrClosedPipe
	case len(p) == 0:
		return nil
	}
	_, err := to.Write(p)
	if err != nil {
		f.lock.Lock()
		defer f.lock.Unlock()
		to.Close()
		if f.to == to {
			f.deaf = true
		}
	}
	return err
}

// end has the command's standard input end.
func (f *feed) end() {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.ended = true
	if f.to != nil {
		f.to.Close()
	}
}
