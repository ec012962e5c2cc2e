package server

import (
	"maps"
	"time"

	"sigver/conn"
	"sigver/protocol"
	"sigver/router"
)

// otherCode stands for codes that clients make up: they must not be able to
// make the server remember each.
const otherCode protocol.CloseCode = 0

// Readiness is whether new clients are welcome.
type Readiness struct {
	Leaving bool // stopping: there are no new clients
	Tight   bool // no memory for new clients
	Full    bool // as many clients or sockets as there may be

	// Of a cluster.
	Clustered bool
	EngineUp  bool // its engine answers
	Nodes     int  // that are known to live, this one among them
}

// Present is what there is at the moment.
type Present struct {
	Readiness
	Uptime time.Duration
	Loops  int

	// Present connections: these add up to all that there are.
	WebSockets int
	Streams    int // of Server-Sent Events
	Visitors   int // of HTTP
	Others     int // before their handshake, or closing

	Keys           router.Stats
	MaxConnections int
}

// Snapshot is what a server has and has done, at about one moment.
type Snapshot struct {
	Present

	// Since the start.
	Traffic    conn.Stats
	Accepted   uint64                        // connections
	TurnedAway map[conn.Reason]uint64        // those of them that were closed at once, for too much from their address
	Relays     uint64                        // messages of clients to each other, also to one who had left
	Closes     map[protocol.CloseCode]uint64 // ends of clients; 0 for codes that clients make up
}

// Readiness takes no lock and asks no loop. Any goroutine.
func (s *Server) Readiness() Readiness {
	r := Readiness{
		Leaving: s.leaving.Load(),
		Tight:   s.tight.Load(),
		Full:    s.admitted.Load() >= int64(s.maxConnections) || s.sockets.Load() >= int64(s.maxSockets),
	}
	if s.engine != nil {
		r.Clustered = true
		r.EngineUp, r.Nodes = s.engine.State()
	}
	return r
}

// Present asks no loop. Any goroutine.
func (s *Server) Present() Present {
	now := Present{
		Readiness:      s.Readiness(),
		Uptime:         time.Since(s.begun),
		Loops:          len(s.workers),
		Keys:           s.router.Stats(),
		MaxConnections: s.maxConnections,
		Streams:        s.streams.size(),
		Visitors:       int(s.visitors.Load()),
	}
	now.WebSockets = max(int(s.admitted.Load())-now.Streams, 0)
	now.Others = max(int(s.sockets.Load())-now.WebSockets-now.Streams-now.Visitors, 0)
	return now
}

// Snapshot is Present and what every loop has counted. It costs the loops nothing in
// between. Any goroutine.
func (s *Server) Snapshot() Snapshot {
	all := Snapshot{
		Present:    s.Present(),
		TurnedAway: make(map[conn.Reason]uint64),
		Closes:     make(map[protocol.CloseCode]uint64),
	}
	s.refusals.mu.Lock()
	all.Traffic.Refused.Add(s.refusals.counts)
	s.refusals.mu.Unlock()

	// Each on its goroutine, so that nothing is shared. Of a loop that is late, or has
	// died, counts what it said last: a counter must not fall.
	s.onEveryLoop(func(w *worker) {
		part := w.snapshot()
		w.last.Store(&part)
	})
	for _, w := range s.workers {
		part := w.last.Load()
		if part == nil {
			continue
		}
		all.Traffic.Add(&part.Traffic)
		all.Accepted += part.Accepted
		all.Relays += part.Relays
		for reason, n := range part.TurnedAway {
			all.TurnedAway[reason] += n
		}
		for code, n := range part.Closes {
			all.Closes[code] += n
		}
	}
	return all
}

// snapshot is this loop's part. Loop only.
func (w *worker) snapshot() (part Snapshot) {
	w.clients.Stats(&part.Traffic)
	part.Accepted = w.accepted
	part.Relays = w.relays
	part.TurnedAway = maps.Clone(w.turnedAway)
	part.Closes = maps.Clone(w.closes)
	return part
}

// left counts the end of a client.
func (w *worker) left(code protocol.CloseCode) {
	if !code.Known() && code != conn.Lost {
		code = otherCode
	}
	w.closes[code]++
}
