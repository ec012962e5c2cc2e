package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// drainTick is how often some clients are sent away while the server drains.
	drainTick = 125 * time.Millisecond
	// enterTime is how long those who were accepted before the end may take to come
	// in, to be sent away as the others are. Refusing them would be a gap between
	// this server and the next.
	enterTime = time.Second
)

// stop ends all connections: no new ones, 1001 to each in the course of drain, and
// what is not gone stopTimeout later is cut off.
func (s *Server) stop() {
	s.leaving.Store(true)
	stats := s.router.Stats()
	s.log.Info("stopping", "connections", s.admitted.Load(), "keys", stats.Keys, "drain", s.drain)
	s.router.Stopping()
	s.onEveryLoop((*worker).stopAccepting)
	s.sendAway()
	s.router.Silence()
	s.onEveryLoop(func(w *worker) { w.clients.GoAway() })
	// Requests that are being answered may take as long as clients to leave.
	deadline := time.Now().Add(stopTimeout)
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	_ = s.http.Shutdown(ctx) // an error says that the time was over
	for s.sockets.Load() > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	s.log.Info("stopped", "cut_off", s.sockets.Load())
}

// sendAway spreads the end of clients over drain, so that they are not all back
// at the next server in one instant: as many each tick, whatever loops they are on,
// but one at least, so that a few of them do not make it wait.
func (s *Server) sendAway() {
	entered := time.Now().Add(min(enterTime, s.drain))
	left := s.admitted.Load()
	for ticks := int64(s.drain / drainTick); ticks > 0; ticks-- {
		var budget, open, entering atomic.Int64
		budget.Store((left + ticks - 1) / ticks)
		s.onEveryLoop(func(w *worker) {
			o, e := w.clients.GoAwaySome(&budget)
			open.Add(int64(o))
			entering.Add(int64(e))
		})
		left = open.Load()
		if left == 0 && (entering.Load() == 0 || time.Now().After(entered)) {
			return
		}
		time.Sleep(drainTick)
	}
}

// shut closes everything that New and Run have opened.
func (s *Server) shut() {
	_ = s.http.Close()
	_ = s.door.Close() // in case that it was not yet the HTTP server's
	// Nobody moves to another loop from here on, and who is on the way arrives before
	// the second round.
	s.leaving.Store(true)
	s.onEveryLoop((*worker).stopAccepting)
	s.onEveryLoop(func(w *worker) { w.clients.Drop() })
	close(s.ended)
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
