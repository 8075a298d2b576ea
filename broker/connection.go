package broker

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// connection is a client's.
type connection struct {
	*gate
	listener *Listener
	child    *Child                // in whose tree the client was when it connected; nil if in none
	last     atomic.Pointer[Child] // who has used it last
	counted  counted
	cancel   atomic.Pointer[context.CancelFunc] // of all requests; nil before the first
	requests int64                              // that were taken, where they come one by one
	patience patience
	lingers  sync.Once
	closing  sync.Once
}

const (
	// lingerTime is how long a client may go on sending what nobody wants, and lingerSize how
	// much, after an answer: to close at once would have the answer be lost.
	lingerTime = 500 * time.Millisecond
	lingerSize = 16 << 20
)

// Close closes it, after a while if the client may still send what nobody wants; [net.Conn].
func (c *connection) Close() error {
	if !c.stopped.Load() {
		return c.abort()
	}
	c.lingers.Do(func() {
		go func() {
			c.CloseWrite()
			c.gate.Conn.SetReadDeadline(time.Now().Add(lingerTime))
			io.CopyN(io.Discard, c.gate.Conn, lingerSize)
			c.abort()
		}()
	})
	return nil
}

// abort closes it at once, and ends its requests.
func (c *connection) abort() error {
	if cancel := c.cancel.Load(); cancel != nil {
		(*cancel)()
	}
	err := c.gate.Conn.Close()
	c.wakeUp()
	c.closing.Do(func() {
		b := c.listener.broker
		b.lock.Lock()
		delete(b.connections, c)
		b.lock.Unlock()
		<-c.listener.slots
	})
	return err
}

// Write writes, and takes a client for gone that does not read for long; [io.Writer].
func (c *connection) Write(p []byte) (int, error) {
	c.patience.extend(c.gate.Conn, stallTime)
	return c.gate.Conn.Write(p)
}

// stallTime is how long a client may not read what it asked for, or not go on with a body.
const stallTime = 10 * time.Minute

// SetWriteDeadline does nothing: the deadline is put off here; [net.Conn].
func (c *connection) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline sets that of reading; [net.Conn].
func (c *connection) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }
