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

// Snapshot is what a server has and has done, at about one moment.
type Snapshot struct {
	Uptime  time.Duration
	Loops   int
	Tight   bool // no memory for new clients
	Leaving bool // stopping: there are no new clients

	// Present connections: these add up to all that there are.
	WebSockets int
	Streams    int // of Server-Sent Events
	Visitors   int // of HTTP
	Others     int // before their handshake, or closing

	// Of a cluster.
	Clustered bool
	EngineUp  bool // its engine answers
	Nodes     int  // that are known to live, this one among them

	Keys           router.Stats
	MaxConnections int
	MaxMessage     int // bytes

	// Since the start.
	Traffic    conn.Stats
	TurnedAway uint64                        // closed at once, for too much from their address
	Relays     uint64                        // messages of clients to each other
	Closes     map[protocol.CloseCode]uint64 // ends of clients; 0 for codes that clients make up
}

// Snapshot asks every loop and adds up. It costs the loops nothing in between.
func (s *Server) Snapshot() Snapshot {
	all := Snapshot{
		Uptime:         time.Since(s.begun),
		Loops:          len(s.workers),
		Leaving:        s.leaving.Load(),
		Tight:          s.tight.Load(),
		Keys:           s.router.Stats(),
		MaxConnections: s.maxConnections,
		MaxMessage:     s.limits.Message,
		Closes:         make(map[protocol.CloseCode]uint64),
		Streams:        s.streams.size(),
		Visitors:       int(s.visitors.Load()),
	}
	if s.engine != nil {
		all.Clustered = true
		all.EngineUp, all.Nodes = s.engine.State()
	}
	all.WebSockets = max(int(s.admitted.Load())-all.Streams, 0)
	all.Others = max(int(s.sockets.Load())-all.WebSockets-all.Streams-all.Visitors, 0)

	// One after the other on their goroutines, so that nothing is shared.
	late := time.After(stopTimeout)
	for _, w := range s.workers {
		part := make(chan Snapshot, 1)
		w.loop.Post(func() { part <- w.snapshot() })
		select {
		case p := <-part:
			all.Traffic.Add(&p.Traffic)
			all.Relays += p.Relays
			all.TurnedAway += p.TurnedAway
			for code, n := range p.Closes {
				all.Closes[code] += n
			}
		case <-late: // a loop that has died says nothing
			return all
		}
	}
	return all
}

// snapshot is this loop's part. Loop only.
func (w *worker) snapshot() (part Snapshot) {
	w.clients.Stats(&part.Traffic)
	part.Relays = w.relays
	part.TurnedAway = w.turnedAway
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
