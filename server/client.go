package server

import (
	"net/http"

	"sigver/conn"
	"sigver/protocol"
	"sigver/router"
)

// client is one accepted connection: its transport, and its place among the
// keys. Both are part of it, so that a client is one allocation.
type client struct {
	conn.Conn
	router.Session
}

// worker is whose loop the client is on.
func (c *client) worker() *worker { return c.Set().Owner.(*worker) }

var (
	_ router.Peer = (*conn.Conn)(nil)
	_ conn.Events = (*client)(nil)
)

var serverFull = &conn.Refusal{
	Status:     http.StatusServiceUnavailable,
	RetryAfter: 5,
	Detail:     "the server has as many connections as it may have, try again later",
}

var serverStopping = &conn.Refusal{
	Status:     http.StatusServiceUnavailable,
	RetryAfter: 1,
	Detail:     "the server is stopping, try again",
}

// Opening admits the client if there is room.
func (c *client) Opening() *conn.Refusal {
	s := c.worker().server
	if s.leaving.Load() {
		return serverStopping
	}
	if !s.admit() {
		return serverFull
	}
	s.router.Attach(&c.Session, &c.Conn)
	return nil
}

// admit reports whether there is room for another client, and takes it.
func (s *Server) admit() bool {
	if s.admitted.Add(1) > int64(s.maxConnections) {
		s.admitted.Add(-1)
		s.full.note(s.log, "connection limit reached, refusing new clients with 503", "limit", s.maxConnections)
		return false
	}
	return true
}

// Message is the way of one message: parsed here, delivered by the router.
func (c *client) Message(text []byte) error {
	w := c.worker()
	err := w.parser.Parse(text, &w.message)
	if err != nil {
		return err
	}
	w.scratch, err = w.server.router.Handle(&c.Session, &w.message, w.scratch)
	if err == nil && w.message.Data != nil {
		w.relays++
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
	s.router.Gone(&c.Session)
	s.admitted.Add(-1)
}

// Closed makes room for another client.
func (c *client) Closed() {
	c.worker().server.sockets.Add(-1)
}
