package server

import (
	"bytes"

	"sigver/conn"
)

// tightVisitors is how many requests of HTTP are dealt with at a time while memory
// is short: each has a goroutine and buffers.
const tightVisitors = 64

// What is dealt with even then: messages of streams that are there, and whether the
// server lives.
var (
	aMessage = []byte("POST / ")
	itsLife  = []byte("GET /healthz ")
)

// Tight says whether memory is short. While it is, nobody new is let in, and those
// who are there may hold less. Any goroutine.
func (s *Server) Tight(tight bool) {
	s.tight.Store(tight)
	for _, w := range s.workers {
		w.clients.Tight(tight)
	}
	// This also ends the connections that wait for their next request.
	s.http.SetKeepAlivesEnabled(!tight)
	if tight {
		s.log.Warn("out of memory (--max-memory), refusing new clients with 503", "connections", s.admitted.Load())
	} else {
		s.log.Info("enough memory again")
	}
}

// Visiting lets a request of HTTP in if there is room for it. The loop itself
// answers the others: they cost no goroutine.
func (c *client) Visiting(header []byte) *conn.Refusal {
	s := c.worker().server
	visitors := s.visitors.Load()
	switch {
	case visitors >= int64(s.maxVisitors):
		return serverFull
	case !s.tight.Load():
		return nil
	case visitors >= tightVisitors || !bytes.HasPrefix(header, aMessage) && !bytes.HasPrefix(header, itsLife):
		return outOfMemory
	}
	return nil
}
