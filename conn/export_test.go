package conn

import (
	"time"

	"sigver/poller"
)

// Ready runs the loop's callback, for tests that are on the loop themselves and
// do not wait for it to come.
func (c *Conn) Ready() { c.ready(poller.Readable) }

// Receive understands b as if it had been read from the socket.
func (c *Conn) Receive(b []byte) { c.receive(b) }

// Output says how many bytes wait to be written, and how large their buffer is.
func (c *Conn) Output() (unsent, room int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out == nil {
		return 0, 0
	}
	return len(c.out.bytes) - c.out.sent, cap(c.out.bytes)
}

// DropOutput throws away what waits to be written.
func (c *Conn) DropOutput() {
	c.mu.Lock()
	c.releaseOutputLocked()
	c.mu.Unlock()
}

// KeptInput is the size of the buffers that wait for the next client. Loop only.
func (s *Set) KeptInput() (bytes int) {
	for _, in := range s.inputs {
		bytes += cap(in.stream) + cap(in.message)
	}
	return bytes
}

// Advance lets time pass for the set, and sweeps every connection. Loop only.
func (s *Set) Advance(d time.Duration) {
	s.start = s.start.Add(-d)
	for range tickParts {
		s.tick()
	}
}

// Skip lets time pass for the set's clock alone. Loop only.
func (s *Set) Skip(d time.Duration) {
	s.start = s.start.Add(-d)
	s.setClock()
}

// MaxHeader and CloseTimeout are limits that no setting changes.
const (
	MaxHeader    = maxHeader
	CloseTimeout = closeTimeout
)

// Len is how many connections the set has, in any state but closed. Loop only.
func (s *Set) Len() int { return len(s.conns) }

// MaxHandshakes is how many TLS handshakes go on at a time.
const MaxHandshakes = maxHandshakes

// Away is how many do. Loop only.
func (s *Set) Away() int { return len(s.away) }

// Blocked reports whether c waits for its socket to be writable. Loop only.
func (s *Set) Blocked(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocked
}

// Halved cuts the first TLS record into two.
var Halved = halved

// ReadSize is what one read brings at most.
const ReadSize = readSize
