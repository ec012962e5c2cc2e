package conn

import (
	"bytes"
	"net"
	"time"

	"sigver/poller"
)

// Visitor is a connection whose client wants something of HTTP other than a
// WebSocket. It is for a goroutine, an http.Server's. The bytes that came in
// already are read first.
type Visitor struct {
	net.Conn // the socket, or the tls.Conn over it
	rest     []byte
	secure   *secure // nil without TLS
	// begun is when the connection was accepted; zero once it has had an answer: how
	// long it waits for its next request is the client's affair.
	begun time.Time
}

// Kept notes that the connection has had its answer and is kept for more. For
// whoever has v.
func (v *Visitor) Kept() { v.begun = time.Time{} }

// Read reads as net.Conn does.
func (v *Visitor) Read(p []byte) (int, error) {
	if len(v.rest) == 0 {
		return v.Conn.Read(p)
	}
	n := copy(p, v.rest)
	v.rest = v.rest[n:]
	if len(v.rest) == 0 {
		v.rest = nil
	}
	return n, nil
}

// handOver takes the connection, of which request was read, away from the loop
// for good.
func (c *Conn) handOver(request []byte) {
	v := &Visitor{rest: bytes.Clone(request), begun: time.Now().Add(-c.age())}
	if c.in != nil {
		v.secure, c.in.secure = c.in.secure, nil
	}
	socket, err := poller.ToNet(c.detach())
	if err != nil {
		c.gone()
		return
	}
	v.Conn = socket
	if v.secure != nil {
		v.secure.wire.lend(socket, nil)
		v.Conn = v.secure.tls
	}
	c.leaveSet()
	c.events().Visit(v)
}

// takeBack returns v's socket and what encrypts on it. v is used up, even if
// there is an error.
func (v *Visitor) takeBack() (int, *secure, error) {
	if v.secure == nil {
		fd, err := poller.FromNet(v.Conn)
		return fd, nil, err
	}
	fd, err := v.secure.wire.takeBack()
	return fd, v.secure, err
}

// ServeVisitor makes c, which must be zero, the connection of v once more, from
// which request was read: a client may ask for a WebSocket on a connection that
// it used for something else before. v is c's from here on, and closed even if an
// error is returned. In that case its events are not told. Loop only.
func (s *Set) ServeVisitor(c *Conn, v *Visitor, request []byte) error {
	if err := s.resume(c, v); err != nil {
		return err
	}
	s.setClock()
	c.deadline = s.after(s.limits.Handshake)
	c.receive(request)
	return nil
}

// resume makes c the connection of v.
func (s *Set) resume(c *Conn, v *Visitor) error {
	fd, sec, err := v.takeBack()
	if err != nil {
		return err
	}
	c.begin(s)
	if sec != nil {
		c.input().secure = sec
	}
	if err := c.attach(fd); err != nil {
		c.state = stateClosed
		return err
	}
	s.add(c)
	return nil
}
