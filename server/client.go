package server

import (
	"unsafe"

	"sigver/conn"
	"sigver/protocol"
	"sigver/router"
)

// client is one accepted connection: its transport, and its place among the
// keys. Both are part of it, so that a client is one allocation.
type client struct {
	conn.Conn // first, for eventsOf
	router.Session
}

// eventsOf is what c is the first field of. A Conn has no pointer to it: there are
// very many, and most of them are idle.
func eventsOf(c *conn.Conn) conn.Events {
	if c.IsStream() {
		return (*stream)(unsafe.Pointer(c))
	}
	return (*client)(unsafe.Pointer(c))
}

// worker is whose loop the client is on.
func (c *client) worker() *worker { return c.Set().Owner.(*worker) }

var (
	_ router.Peer = (*conn.Conn)(nil)
	_ conn.Events = (*client)(nil)
)

// attach gives c its place among the keys.
func (s *Server) attach(c *client) {
	if s.engine != nil {
		s.router.Attach(&c.Session, clusterPeer{c})
		return
	}
	s.router.Attach(&c.Session, &c.Conn)
}

// Message is the way of one message: parsed here, delivered by the router.
func (c *client) Message(text []byte) error {
	w := c.worker()
	if err := w.parser.Parse(text, &w.message); err != nil {
		return err
	}
	if w.message.Kind == protocol.Join && w.moves(c, text) {
		return nil
	}
	return w.handle(c)
}

// handle deals with w.message, which c has sent.
func (w *worker) handle(c *client) (err error) {
	if w.message.Kind == protocol.Join && !w.mayJoin(c) {
		w.scratch = protocol.AppendKeyAnswer(w.scratch[:0], false)
		c.Send(w.scratch)
		return errTooManyGuesses
	}
	w.scratch, err = w.server.router.Handle(&c.Session, &w.message, w.scratch)
	if err == nil && w.message.Data != nil {
		w.relays++
	}
	if err == nil && w.message.Kind == protocol.Join {
		w.settle(c)
	}
	if c.Bound() {
		c.KeepOpen()
	}
	return err
}

// Leaving takes the client out of the key table.
func (c *client) Leaving(code protocol.CloseCode) {
	w := c.worker()
	s := w.server
	w.left(code)
	if code == protocol.KeyUnknown {
		w.guessed(c)
	} else {
		w.notGuessed(c)
	}
	s.router.Gone(&c.Session)
	s.admitted.Add(-1)
}

// Closed makes room for another client.
func (c *client) Closed() {
	w := c.worker()
	w.leaveAddress(c)
	w.server.sockets.Add(-1)
}
