package main

import (
	"io"
	"os"
	"sync"
)

// feed passes our standard input to the command that is running.
type feed struct {
	in    io.Reader
	again bool               // there may be another command after the one that is running
	looks chan chan struct{} // if not nil: who is asked to look for a token, before it is passed on

	lock  sync.Mutex
	ready *sync.Cond
	to    io.WriteCloser // nil if nobody takes anything now
	ended bool
}

func newFeed(in io.Reader, again bool) *feed {
	f := &feed{in: in, again: again}
	f.ready = sync.NewCond(&f.lock)
	return f
}

// connect has what comes from now on passed to this command.
func (f *feed) connect(to io.WriteCloser) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.ended {
		to.Close()
		return
	}
	f.to = to
	f.ready.Broadcast()
}

// run reads to the end. It ends with the process, if nobody closes what it reads.
func (f *feed) run() {
	b := make([]byte, 64<<10)
	for {
		n, err := f.in.Read(b)
		if n > 0 {
			if f.looks != nil {
				looked := make(chan struct{})
				f.looks <- looked
				<-looked
			}
			if !f.pass(b[:n]) {
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

// pass writes to the command, or to the one that comes after it. It reports false when
// nobody will take any more.
func (f *feed) pass(p []byte) bool {
	for len(p) > 0 {
		to := f.taker()
		n, err := to.Write(p)
		p = p[n:]
		if err != nil {
			to.Close()
			if !f.again {
				return false
			}
			f.lock.Lock()
			if f.to == to {
				f.to = nil
			}
			f.lock.Unlock()
		}
	}
	return true
}

// taker waits for a command that takes input.
func (f *feed) taker() io.WriteCloser {
	f.lock.Lock()
	defer f.lock.Unlock()
	for f.to == nil {
		f.ready.Wait()
	}
	return f.to
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
