package router

import (
	"bytes"
	"errors"
	"time"

	"sigver/protocol"
)

// farOpener is the end of a Joining here whose Opener is at another node, from
// the moment that it is looked for. The session's goroutine frees its place.
type farOpener struct {
	link
	session *Session
	timer   *time.Timer // for the answer; nil until the join is sent; guarded by in
	joined  bool        // guarded by in

	// The session's goroutine only, and constant once the join is sent.
	data    []byte // to be relayed with the join, or nil
	backlog backlog
}

// look makes s a Joining of key's Opener at another node, if there is one.
func (r *Router) look(s *Session, key, data []byte) {
	f := &farOpener{session: s, data: bytes.Clone(data)}
	s.role = joining
	r.places.put(func(slot, gen uint32) any {
		s.id = slot
		f.slot, f.gen = slot, gen
		return f
	})
	r.engine.LookUp(bytes.Clone(key), func(owner Ref, err error) {
		switch {
		case errors.Is(err, ErrUnknown), err == nil && owner.Node == r.engine.Node():
			// What is claimed for this node and not in its table has an Opener
			// that is not yet told, or not any more.
			r.notJoined(f, errKeyUnknown)
		case err != nil:
			r.notJoined(f, errNotNow)
		default:
			r.askToJoin(f, owner)
		}
	})
}

func (r *Router) askToJoin(f *farOpener, owner Ref) {
	var payload []byte
	if f.data != nil {
		payload = append([]byte{1}, f.data...)
	}
	f.in.Lock()
	left := f.ended.Load()
	if !left {
		f.timer = time.AfterFunc(joinTimeout, func() { r.notJoined(f, errNotNow) })
	}
	f.in.Unlock()
	if left {
		return
	}
	if !r.send(owner, frame{kind: frameJoin, fromSlot: f.slot, fromGen: f.gen, payload: payload}, false) {
		r.notJoined(f, errNotNow)
	}
}

// notJoined answers the join, unless that was done. Any goroutine.
func (r *Router) notJoined(f *farOpener, why *protocol.Error) {
	f.in.Lock()
	first := !f.joined && !f.ended.Swap(true)
	if f.timer != nil {
		f.timer.Stop()
	}
	f.in.Unlock()
	if !first {
		return
	}
	f.session.peer.Post(func() {
		if f.session.role == joining {
			f.session.answer(false, nil)
			f.session.refuse(why)
		}
	})
}

// hasJoined notes that the join has succeeded: there is what stands for the
// Joining. The answer to the client follows as the first data.
func (r *Router) hasJoined(f *farOpener, there Ref) {
	f.in.Lock()
	if f.joined || f.timer == nil || f.ended.Load() { // without a timer nobody was asked
		f.in.Unlock()
		r.send(there, frame{kind: frameBroken, fromSlot: f.slot, fromGen: f.gen}, true)
		return
	}
	f.joined = true
	f.timer.Stop()
	f.out.Lock()
	f.out.there = there
	f.out.Unlock()
	f.in.Unlock()
	f.session.peer.Post(func() {
		if f.session.role == joining {
			f.session.role = farAway
			r.handleBacklog(f.session, &f.backlog)
		}
	})
}

// took passes on what the Opener has sent.
func (f *farOpener) took(r *Router, number uint32, message []byte) {
	f.in.Lock()
	defer f.in.Unlock()
	switch {
	case f.ended.Load():
	case f.joined && f.followsLocked(number):
		f.session.peer.Send(message)
	default:
		f.end(errBroken.Code, errBroken.Detail)
		f.tell(r, frameBroken, nil)
	}
}

// end closes the Joining, once.
func (f *farOpener) end(why protocol.CloseCode, detail string) {
	if !f.ended.Swap(true) {
		f.session.peer.Close(why, detail)
	}
}

// broken ends the pair, or the wait for it, with why.
func (r *Router) broken(f *farOpener, why *protocol.Error) {
	f.in.Lock()
	joined := f.joined
	f.in.Unlock()
	if !joined {
		r.notJoined(f, why)
		return
	}
	f.end(errBroken.Code, errBroken.Detail)
}

// toFarOpener relays data from the Joining s to its Opener's node.
func (r *Router) toFarOpener(s *Session, data []byte) {
	f := r.places.at(s.id).(*farOpener)
	if !f.link.data(r, data) {
		f.end(errBroken.Code, errBroken.Detail)
		f.tell(r, frameBroken, nil)
	}
}

// leaveFarOpener is the end of the Joining s, or of its wait.
func (r *Router) leaveFarOpener(s *Session) {
	f := r.places.at(s.id).(*farOpener)
	f.in.Lock()
	told := !f.joined || f.ended.Swap(true)
	f.ended.Store(true)
	if f.timer != nil {
		f.timer.Stop()
	}
	f.in.Unlock()
	if !told {
		f.tell(r, frameLeft, nil)
	}
	r.places.drop(f.slot)
}
