package router

import (
	"math"
	"math/rand/v2"

	"sigver/protocol"
)

// What only a Joining, or who would be one, is refused.
var (
	errKeyUnknown = &protocol.Error{
		Code:   protocol.KeyUnknown,
		Detail: "no connection has opened this key",
	}
	errTooManyJoinings = &protocol.Error{
		Code:   protocol.TooManyJoinings,
		Detail: "the Opener of this key has as many Joinings as it may have",
	}
	errNotJoining = &protocol.Error{
		Code:   protocol.TransmitBeforeJoin,
		Detail: "only a connection that has joined a key can send without an id",
	}
)

// maxID is the largest id; the smallest is 1. Every client can hold these in a
// signed 32-bit integer.
const maxID = math.MaxInt32

// join makes s a Joining of key's Opener and relays data, unless it is nil.
func (r *Router) join(s *Session, key, data, scratch []byte) ([]byte, error) {
	if s.role != unbound {
		return scratch, errAlreadyBound
	}
	sh, hash := r.shardOf(key)
	o := sh.find(hash, key)
	switch {
	case o == nil && r.engine != nil:
		r.look(s, key, data)
		return scratch, nil
	case o == nil:
		return s.answer(false, scratch), errKeyUnknown
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	if why := r.mayJoinLocked(o); why != nil {
		return s.answer(false, scratch), why
	}
	return r.joinLocked(o, s, data, scratch), nil
}

// Opener returns the peer that has key at this node, and how many Joinings it has.
// It is nil if there is none. Both may have changed by now.
func (r *Router) Opener(key []byte) (p Peer, joinings int) {
	sh, hash := r.shardOf(key)
	o := sh.find(hash, key)
	if o == nil {
		return nil, 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder == nil {
		return nil, 0
	}
	return o.holder.peer, len(o.joinings)
}

// mayJoinLocked returns why nobody can become a Joining of o, or nil.
func (r *Router) mayJoinLocked(o *opener) *protocol.Error {
	switch {
	case o.holder == nil: // gone since it was found
		return errKeyUnknown
	case r.maxJoinings > 0 && len(o.joinings) >= r.maxJoinings:
		return errTooManyJoinings
	case !r.sure(o.holder):
		return errNotSure
	}
	return nil
}

// joinLocked makes s a Joining of o and relays data, unless it is nil.
func (r *Router) joinLocked(o *opener, s *Session, data, scratch []byte) []byte {
	s.id = o.drawIDLocked()
	scratch = s.bindLocked(asJoining, o, scratch)
	o.addLocked(s)
	sh, _ := r.shardOfOpener(o)
	sh.joinings.Add(1)
	if data != nil {
		scratch = protocol.AppendDataFrom(scratch[:0], s.id, data)
		o.holder.peer.Send(scratch)
	}
	return scratch
}

// drawIDLocked returns a random id that no Joining of o has. Random, so that an
// id that became free is not soon somebody else's.
func (o *opener) drawIDLocked() uint32 {
	for {
		id := uint32(1 + rand.Int32N(maxID))
		if o.joinings[id] == nil {
			return id
		}
	}
}

// addLocked gives o the Joining s.
func (o *opener) addLocked(s *Session) {
	if o.joinings == nil {
		o.joinings = make(map[uint32]*Session)
	}
	o.joinings[s.id] = s
}

// dropLocked takes the Joining s from o.
func (o *opener) dropLocked(s *Session) {
	delete(o.joinings, s.id)
	if len(o.joinings) == 0 {
		o.joinings = nil
	}
}

// toOpener relays data from the Joining s to its Opener.
func (s *Session) toOpener(data, scratch []byte) ([]byte, error) {
	if s.role != asJoining {
		return scratch, errNotJoining
	}
	o := s.opener
	scratch = protocol.AppendDataFrom(scratch[:0], s.id, data)

	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder != nil { // else s is being closed
		o.holder.peer.Send(scratch)
	}
	return scratch, nil
}

// leaveOpener frees the id of the Joining s and tells its Opener, unless that
// went first and there is nobody to tell.
func (r *Router) leaveOpener(s *Session) {
	o := s.opener
	news := protocol.AppendUnavailable(make([]byte, 0, 40), s.id) // enough for maxID

	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder == nil {
		return
	}
	o.dropLocked(s)
	sh, _ := r.shardOfOpener(o)
	sh.joinings.Add(-1)
	if !r.silent.Load() {
		o.holder.peer.Send(news)
	}
}
