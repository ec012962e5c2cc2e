package server

import (
	"sync"
	"time"
)

// stop ends all connections: no new ones, 1001 to each, and what is not gone
// after stopTimeout is cut off.
func (s *Server) stop() {
	stats := s.router.Stats()
	s.log.Info("stopping", "connections", s.admitted.Load(), "keys", stats.Keys)
	s.router.Silence()
	s.onEveryLoop(func(w *worker) {
		w.stopAccepting()
		w.clients.GoAway()
	})
	deadline := time.Now().Add(stopTimeout)
	for s.sockets.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	s.log.Info("stopped", "cut_off", s.sockets.Load())
}

// shut closes everything that New and Run have opened.
func (s *Server) shut() {
	s.onEveryLoop(func(w *worker) {
		w.stopAccepting()
		w.clients.Drop()
	})
	for _, w := range s.workers {
		if err := w.loop.Close(); err != nil {
			s.log.Error("closing an event loop", "error", err)
		}
	}
}

// onEveryLoop runs f on each loop and waits for all of them, but not for one
// that has died.
func (s *Server) onEveryLoop(f func(*worker)) {
	var done sync.WaitGroup
	for _, w := range s.workers {
		done.Add(1)
		w.loop.Post(func() {
			defer done.Done()
			f(w)
		})
	}
	finished := make(chan struct{})
	go func() {
		done.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-time.After(stopTimeout):
	}
}
