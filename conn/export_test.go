package conn

import (
	"time"

	"sigver/poller"
)

// Ready runs the loop's callback, for tests that are on the loop themselves and
// do not wait for it to come.
func (c *Conn) Ready() { c.ready(poller.Readable) }

// Advance lets time pass for the set, and sweeps every connection. Loop only.
func (s *Set) Advance(d time.Duration) {
	s.start = s.start.Add(-d)
	for range tickParts {
		s.tick()
	}
}

// MaxHeader and CloseTimeout are limits that no setting changes.
const (
	MaxHeader    = maxHeader
	CloseTimeout = closeTimeout
)
