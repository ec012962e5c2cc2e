package server

import "slices"

// Neighbours is how many Joinings move to the loop of one Opener.
const Neighbours = neighbours

// Relays are those of each loop so far.
func (s *Server) Relays() []uint64 {
	all := make([]uint64, len(s.workers))
	s.onEveryLoop(func(w *worker) { all[slices.Index(s.workers, w)] = w.relays })
	return all
}

// Counted is how many clients are counted as such, and how many for their address. The
// loops must have ended.
func (s *Server) Counted() (admitted int64, entered int) {
	for _, w := range s.workers {
		entered += len(w.entered)
	}
	return s.admitted.Load(), entered
}

// Die ends the server as a loop does that has died: it waits for nobody.
func (s *Server) Die(err error) { s.loopDied(err) }
