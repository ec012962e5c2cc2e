package conn

import (
	"time"

	"github.com/gobwas/ws"

	"sigver/protocol"
)

// tick moves the clock and looks at a part of the connections, so that all of
// them are looked at within SweepTime and no tick takes long.
func (s *Set) tick() {
	before := s.ticked
	s.setClock()
	s.ticked = s.now
	lag := time.Duration(s.now-before)*time.Millisecond - tick
	s.stats.Lag.observe(lag)
	s.bePatient(lag)
	if s.onTick != nil {
		s.hurried = s.onTick()
	}
	s.startHandshakes()
	n := len(s.conns)/int(tickParts) + 1
	for ; n > 0 && len(s.conns) > 0; n-- {
		// Downwards: what remove moves here has been looked at.
		s.swept--
		if s.swept < 0 || s.swept >= len(s.conns) {
			s.swept = len(s.conns) - 1
		}
		s.conns[s.swept].sweep()
	}
}

// setClock makes the set's clock exact for the moment.
func (s *Set) setClock() { s.now = uint32(time.Since(s.start).Milliseconds()) }

// after is the time of the set's clock in d from now, or 0 for never if d is 0.
func (s *Set) after(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return max(s.now+uint32(d.Milliseconds()), 1)
}

// passed reports whether a deadline is over. The clock wraps: half of its range
// counts as the past.
func (s *Set) passed(deadline uint32) bool {
	return deadline != 0 && int32(s.now-deadline) >= 0
}

// holdsAPlace reports whether c has been silent for longer than it may while others
// wait.
func (c *Conn) holdsAPlace() bool {
	switch c.state {
	case stateProxied, stateHello, stateQueued, stateHandshake:
		return c.deadline != 0 && c.age() >= hurriedHandshake
	}
	return false
}

// sweep does what time demands of one connection.
func (c *Conn) sweep() {
	if c.set.hurried && c.holdsAPlace() {
		c.close() // an answer would take until the client closes, too
		return
	}
	if !c.set.passed(c.deadline) {
		if c.state == stateOpen && c.set.tight.Load() {
			c.shed()
		}
		if c.state == stateOpen && c.set.limits.Heartbeat > 0 {
			c.heartbeat()
		}
		return
	}
	switch c.state {
	case stateProxied, stateHello, stateQueued:
		c.close()
	case stateHandshake:
		c.refuse(tooSlow)
	case stateOpen:
		c.fail(protocol.Idle, "neither opened nor joined in time")
	case stateClosing:
		c.close()
	}
}

// bePatient gives everybody another interval when this loop, or the machine, stood
// still for one: what clients have answered may not have been read, nor arrived.
func (s *Set) bePatient(lag time.Duration) {
	if s.passed(s.patient) {
		s.patient = 0
	}
	if lag >= s.limits.Heartbeat {
		s.patient = s.after(s.limits.Heartbeat)
	}
}

// heartbeat pings a connection that has been quiet and closes one that has not
// even answered that.
func (c *Conn) heartbeat() {
	quiet := time.Duration(c.set.now-c.heard) * time.Millisecond
	interval := c.set.limits.Heartbeat
	switch {
	case c.stream:
		if quiet >= interval {
			c.sendKeepAlive()
		}
	case quiet >= interval && !c.pinged:
		c.pinged = true
		c.seemHeard(interval)
		c.send(ws.OpPing, nil)
	case quiet >= 3*interval && c.set.patient == 0:
		c.fail(protocol.HeartbeatTimeout, "nothing was heard, not even a pong")
	}
}

// seemHeard makes it the time ago that c was heard, so that its ping, however late it
// comes, has two intervals to be answered. What it may send stays what it is.
func (c *Conn) seemHeard(ago time.Duration) {
	c.refill()
	c.heard = c.set.now - uint32(ago.Milliseconds())
	c.allowance -= float32(c.earned())
}

// refill adds what may be sent since the connection was last heard.
func (c *Conn) refill() {
	if c.set.limits.Rate > 0 {
		c.allowance = float32(min(float64(c.allowance)+c.earned(), c.set.limits.Burst))
	}
}

// earned is how many frames that are.
func (c *Conn) earned() float64 {
	return float64(c.set.now-c.heard) / 1000 * max(c.set.limits.Rate, 0)
}

// spend takes one frame out of what the client may send. It is false if there
// was nothing left.
func (c *Conn) spend() bool {
	if c.set.limits.Rate <= 0 {
		return true
	}
	c.allowance--
	return c.allowance >= 0
}
