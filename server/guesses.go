package server

import (
	"net/netip"

	"sigver/protocol"
	"sigver/router"
)

// Keys that are short must not be found by trying. An address that has joined too
// many unknown ones is not let in (Opening), and what it has inside does not learn
// of a key whether there is one, or connections that were opened beforehand would
// have a guess each.

// errTooManyGuesses is what a join gets in place of an answer to it.
var errTooManyGuesses = &protocol.Error{Code: protocol.TryAgainLater, Detail: guessing + " from this address"}

const guessing = "too many joins of unknown keys" // in the log

// guessesTooMuch reports whether addr tries keys, and must wait.
func (s *Server) guessesTooMuch(addr netip.Addr) bool {
	if !s.addresses.GuessesTooMuch(addr) {
		return false
	}
	s.noteRefused(addr, guessing)
	return true
}

// addrOf is where c comes from. It is not ok if that cannot be known any more.
func (w *worker) addrOf(c *client) (addr netip.Addr, ok bool) {
	if address := w.entered[c]; address != nil {
		return address.Network(), true
	}
	addr, err := c.PeerAddr()
	return addr, err == nil
}

// mayJoin is asked before the key of a join is looked up. While nobody is under
// suspicion nobody's address is found out.
func (w *worker) mayJoin(c *client) bool {
	s := w.server
	if c.Bound() || s.perAddress.Guesses <= 0 {
		return true
	}
	if s.engine != nil {
		return w.mayAsk(c)
	}
	if !s.addresses.Suspects() {
		return true
	}
	addr, ok := w.addrOf(c)
	return !ok || !s.guessesTooMuch(addr)
}

// mayAsk is mayJoin where others have to be asked for the key. Until they have
// answered, the join counts as a guess: else any number could be on the way.
func (w *worker) mayAsk(c *client) bool {
	addr, ok := w.addrOf(c)
	if !ok {
		return true
	}
	if !w.server.addresses.Try(addr) {
		w.server.noteRefused(addr, guessing)
		return false
	}
	w.asking[c] = addr
	return true
}

// settle follows what may have been the answer to a join. One that has succeeded
// counts no more; what became of another is known when its client leaves.
func (w *worker) settle(c *client) {
	if !c.Waits() {
		w.notGuessed(c)
	}
}

// clusterPeer is a client to the router of a cluster, which answers by Post.
type clusterPeer struct{ *client }

// Post is Conn.Post.
func (p clusterPeer) Post(fn func()) {
	p.Conn.Post(func() {
		fn()
		p.worker().settle(p.client)
	})
}

var _ router.Peer = clusterPeer{}

// guessed notes a join of an unknown key.
func (w *worker) guessed(c *client) {
	if _, counted := w.asking[c]; counted {
		delete(w.asking, c)
		return
	}
	if addr, ok := w.addrOf(c); ok {
		w.server.addresses.Guessed(addr)
	}
}

// notGuessed takes back what mayAsk counted, if it did.
func (w *worker) notGuessed(c *client) {
	if addr, counted := w.asking[c]; counted {
		delete(w.asking, c)
		w.server.addresses.Right(addr)
	}
}
