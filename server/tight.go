package server

import (
	"bytes"

	"sigver/conn"
)

// tightVisitors is how many requests of HTTP are dealt with at a time while memory
// is short: each has a goroutine and buffers.
const tightVisitors = 64

// tightNewcomers is how many sockets there may be then that have not said what they
// want: each takes memory of the kernel.
const tightNewcomers = 1024

// What is dealt with even then: messages of streams that are there, and whether the
// server lives.
var (
	aMessage = []byte("POST / ")
	itsLife  = []byte("GET /healthz ")
)

// Tight says why memory is short, in a word for the log, or that it is not: then why
// is empty. While it is, nobody new is let in, and those who are there may hold less;
// if it is severe, at once. One goroutine at a time.
func (s *Server) Tight(why string, severe bool) {
	tight := why != ""
	before := s.tight.Swap(tight)
	for _, w := range s.workers {
		w.clients.Tight(tight, severe)
	}
	s.posts.setTight(tight)
	// This also ends the connections that wait for their next request.
	s.http.SetKeepAlivesEnabled(!tight)
	switch {
	case tight == before:
	case tight:
		s.log.Warn("out of memory (--max-memory), refusing new clients with 503", "short", why, "connections", s.admitted.Load())
	default:
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

// crowded reports whether there is no place for another socket.
func (s *Server) crowded() bool {
	sockets := s.sockets.Load()
	if sockets >= int64(s.maxSockets) {
		return true
	}
	return s.tight.Load() && sockets-s.admitted.Load()-s.visitors.Load() >= tightNewcomers
}
