package conn

import (
	"time"

	"sigver/protocol"
)

// A stream is a connection on which an HTTP answer that never ends brings the
// messages as events (Server-Sent Events, HTML Living Standard §9.2). What its
// client has to say comes by other ways, to Deliver.

// keepAlive is a comment, which clients ignore.
const keepAlive = ": \n\n"

// ServeStream makes c, which must be zero, a stream to the client of v: head
// is the first that it gets, the HTTP header and what has to come before any
// message. v is c's from here on, and closed even if an error is returned. In
// that case its events are not told. There is no Events.Opening: who calls this has
// admitted the client. Loop only.
func (s *Set) ServeStream(c *Conn, v *Visitor, head []byte) error {
	c.stream = true
	if err := s.resume(c, v); err != nil {
		return err
	}
	s.setClock()
	if !v.begun.IsZero() {
		s.stats.Handshakes.observe(time.Since(v.begun))
	}
	c.state = stateOpen
	c.deadline = s.after(s.limits.Idle)
	c.queue(head)
	return nil
}

// Deliver takes a message of a stream's client. It is false if the connection is
// not open any more. Loop only.
func (c *Conn) Deliver(text []byte) bool {
	if c.state != stateOpen {
		return false
	}
	if c.spendUnheard() {
		c.message(text)
	} else {
		c.fail(protocol.RateLimited, tooManyMessages)
	}
	return true
}

// appendEvent adds one event with a message as its data. A message is JSON
// without white space, so it is one line.
func appendEvent(out *output, message []byte) {
	_, _ = out.Write(protocol.EventData)
	_, _ = out.Write(message)
	_, _ = out.Write(protocol.EventEnd)
}

// closeStreamLocked queues the event that stands for a close frame.
func (c *Conn) closeStreamLocked(code protocol.CloseCode, detail string) {
	if c.closing || c.fd < 0 {
		return
	}
	_, _ = c.outputLocked().Write(protocol.AppendCloseEvent(nil, code, detail))
	c.closedLocked(code)
}

// spendUnheard is spend for what came by another way, and shows nothing of whether
// the stream still gets through: it does not put off the next comment. What may be
// sent stays reckoned from when that was last heard of.
func (c *Conn) spendUnheard() bool {
	c.refill()
	allowed := c.spend()
	if c.set.limits.Heartbeat > 0 {
		c.allowance -= float32(c.earned())
	} else {
		c.heard = c.set.now
	}
	return allowed
}

// sendKeepAlive writes something to a client that never answers, so that the
// kernel finds out whether it is there.
func (c *Conn) sendKeepAlive() {
	c.hear()
	c.queue([]byte(keepAlive))
}
