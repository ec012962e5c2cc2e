package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"sigver/admission"
	"sigver/conn"
	"sigver/poller"
	"sigver/protocol"
)

const (
	acceptBatch = 64       // clients accepted before the others of a batch have their turn
	stopBatches = 1024     // of them that may wait when the server stops: as many as the kernel lets wait
	keptScratch = 16 << 10 // bytes of scratch that a worker keeps
)

// worker is one event loop and what runs on it: a listening socket of its own
// and the clients that came in there, or moved here. All fields but server, loop,
// listener and last belong to the loop's goroutine.
type worker struct {
	server   *Server
	loop     *poller.Loop
	listener int // -1 once closed

	clients *conn.Set
	parser  protocol.Parser
	message protocol.Message
	scratch []byte // where outgoing messages are put together
	paused  bool   // not accepting: no room or no descriptors
	// entered is who came from which address, if that is limited.
	entered map[*client]*admission.Address
	// asking is whose join others of a cluster have to answer, and from where.
	asking     map[*client]netip.Addr
	accepted   uint64                 // sockets
	turnedAway map[conn.Reason]uint64 // those of them that were for their address, before any work
	relays     uint64                 // messages that a client sent to another, there or not
	closes     map[protocol.CloseCode]uint64
	last       atomic.Pointer[Snapshot] // this loop's part, when it was last asked; immutable
}

func newWorker(s *Server, listener int, tls *tls.Config) (*worker, error) {
	loop, err := poller.Open(s.loopDied)
	if err != nil {
		return nil, err
	}
	w := &worker{server: s, loop: loop, listener: listener, closes: make(map[protocol.CloseCode]uint64),
		entered: make(map[*client]*admission.Address), asking: make(map[*client]netip.Addr), turnedAway: make(map[conn.Reason]uint64)}
	w.clients, err = conn.NewSet(loop, s.limits, eventsOf, w.tick)
	if err != nil {
		return nil, errors.Join(err, loop.Close())
	}
	w.clients.Owner = w
	w.clients.TLS = tls
	return w, nil
}

// start begins to accept.
func (w *worker) start() error {
	return w.loop.Add(w.listener, func(poller.Readiness) { w.accept() })
}

// accept takes in clients that wait, as long as there is room. It reports whether
// there may be more of them for whom there is.
func (w *worker) accept() (more bool) {
	for range acceptBatch {
		if w.listener < 0 || w.paused {
			return false
		}
		if w.server.crowded() {
			w.server.crowd.note(w.server.log, "no room for a new client, not even to refuse it: it has to wait",
				"connections", w.server.admitted.Load(), "sockets", w.server.sockets.Load())
			w.pause()
			return false
		}
		fd, err := poller.Accept(w.listener)
		switch {
		case errors.Is(err, poller.ErrAgain):
			return false
		case errors.Is(err, poller.ErrNoFiles):
			w.server.noFiles.note(w.server.log, "no file descriptor for a new client, waiting for one to be free",
				"connections", w.server.admitted.Load())
			w.pause()
			return false
		case err != nil:
			w.server.noFiles.note(w.server.log, "cannot accept", "error", err)
			w.pause()
			return false
		}
		w.accepted++
		w.serve(fd)
	}
	return true
}

func (w *worker) serve(fd int) {
	c := new(client)
	proxied, ok := w.enter(c, fd)
	if !ok {
		_ = poller.CloseFD(fd)
		return
	}
	w.server.sockets.Add(1)
	var err error
	if proxied {
		err = w.clients.ServeProxied(&c.Conn, fd)
	} else {
		err = w.clients.Serve(&c.Conn, fd)
	}
	if err != nil {
		w.leaveAddress(c)
		w.notServed(err)
	}
}

// notServed notes that there is a socket less.
func (w *worker) notServed(err error) {
	w.server.sockets.Add(-1)
	w.server.noFiles.note(w.server.log, "cannot watch a new client", "error", err)
}

// pause leaves those who come in the kernel's queue until the next tick: a
// listener that is ready and not served would spin.
func (w *worker) pause() {
	w.paused = true
	if err := w.loop.Watch(w.listener, 0); err != nil {
		w.server.loopDied(fmt.Errorf("pausing the listener: %w", err))
	}
}

// tick tries again to accept, if that was paused. It reports whether there is no room.
func (w *worker) tick() (crowded bool) {
	if w.server.crowded() {
		return true
	}
	if !w.paused || w.listener < 0 {
		return false
	}
	w.paused = false
	if err := w.loop.Watch(w.listener, poller.Readable); err != nil {
		w.server.loopDied(fmt.Errorf("resuming the listener: %w", err))
	}
	return false
}

// stopAccepting takes in who waits already and closes the listener. Loop only.
func (w *worker) stopAccepting() {
	if w.listener < 0 {
		return
	}
	for range stopBatches {
		if !w.accept() {
			break
		}
	}
	_ = w.loop.Remove(w.listener)
	_ = poller.CloseFD(w.listener)
	w.listener = -1
}
