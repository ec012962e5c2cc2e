package conn

import "sigver/protocol"

// What one client may hold while memory is short, in bytes.
const (
	tightUnsent = 16 << 10 // that wait for one whose socket takes no more
	tightInput  = 4 << 10  // of a message that does not get complete
)

// Tight says whether memory is short, and whether severely. While it is, clients that
// make the server keep much are closed: those that do not read as slow consumers, and
// those that have begun a message and not sent its end with 1013, if it is not
// severe after Limits.Handshake. Any goroutine.
func (s *Set) Tight(tight, severe bool) {
	s.tight.Store(tight)
	s.severe.Store(severe)
}

// maxUnsentLocked is how many bytes may wait for the client.
func (c *Conn) maxUnsentLocked() int {
	if c.blocked && c.set.tight.Load() {
		return min(c.set.limits.Unsent, tightUnsent)
	}
	return c.set.limits.Unsent
}

// shed closes an open connection that holds more than it may while memory is short.
func (c *Conn) shed() {
	c.mu.Lock()
	slow := c.out.unsent() > c.maxUnsentLocked()
	c.mu.Unlock()
	switch {
	case slow:
		c.fail(protocol.SlowConsumer, leftUnread)
	case c.in != nil && c.in.held() > tightInput && c.waitedEnough():
		c.fail(protocol.TryAgainLater, "the server is short of memory, and the message does not get complete")
	}
}

// waitedEnough reports whether the rest of a message should have come.
func (c *Conn) waitedEnough() bool {
	return c.set.severe.Load() || c.set.passed(c.in.begun+uint32(c.set.limits.Handshake.Milliseconds()))
}
