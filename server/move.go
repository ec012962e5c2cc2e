package server

import (
	"bytes"

	"sigver/conn"
	"sigver/router"
)

// A message between clients of two loops takes both: one reads it, the other has to
// be woken to write it. So a Joining moves to the loop of its Opener before it joins,
// when it is nobody's peer yet.

// neighbours is how many Joinings move to the loop of one Opener. Those that come while
// it has so many stay where they are: a crowd is better spread over all loops.
const neighbours = 16

// moves lets c, whose message text is w.message, a join, be served by the loop of that
// key's Opener. It is false if c is to be served here.
func (w *worker) moves(c *client, text []byte) bool {
	s := w.server
	if len(s.workers) == 1 || !c.Unbound() || s.leaving.Load() {
		return false
	}
	opener, joinings := s.router.Opener(w.message.Key)
	if opener == nil || joinings >= neighbours {
		return false
	}
	to := workerOf(opener)
	if to == w {
		return false
	}
	next := new(client)
	address := w.entered[c]
	text = bytes.Clone(text)
	moved := c.Move(to.clients, &next.Conn, func() error {
		s.attach(next)
		to.giveAddress(next, address)
		if err := to.parser.Parse(text, &to.message); err != nil {
			return err
		}
		return to.handle(next)
	})
	if moved {
		delete(w.entered, c)
	}
	return moved
}

// workerOf is the worker of a client as the router has it.
func workerOf(p router.Peer) *worker {
	return p.(interface{ Set() *conn.Set }).Set().Owner.(*worker)
}
