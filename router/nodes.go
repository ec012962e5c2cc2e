package router

import (
	"bytes"

	"sigver/protocol"
)

// Cluster makes r one of the nodes that share e's keys. With openAnyway a key can
// be opened while the engine does not answer; it is claimed later, and may turn
// out to be another's. Call it before r is used.
func (r *Router) Cluster(e Engine, openAnyway bool) {
	r.engine = e
	r.openAnyway = openAnyway
}

// Receive does what the frames of another node say. Frames for one slot have to
// come in order. Frames that are none end the call with an error.
func (r *Router) Receive(node uint64, frames []byte) error {
	var scratch []byte
	for len(frames) > 0 {
		f, rest, err := cutFrame(frames)
		if err != nil {
			return err
		}
		frames = rest
		scratch = r.receive(node, &f, scratch)
	}
	return nil
}

func (r *Router) receive(node uint64, f *frame, scratch []byte) []byte {
	there := f.from(node)
	switch f.kind {
	case frameJoin:
		return r.joinFrom(there, f, scratch)
	case frameAsk:
		if r.answer != nil {
			r.answer(bytes.Clone(f.payload), func(answer []byte) {
				r.send(there, frame{kind: frameAnswer, payload: answer}, true)
			})
		}
		return scratch
	case frameDoubt:
		var answer []byte
		if r.places.find(f.toSlot, f.toGen) == nil {
			answer = []byte(saysGone)
		}
		r.send(there, frame{kind: frameAnswer, payload: answer}, true)
		return scratch
	}
	switch end := r.places.find(f.toSlot, f.toGen).(type) {
	case *farJoining:
		if end.out.there != there { // constant at this end
			break
		}
		switch f.kind {
		case frameData:
			return end.took(f, scratch)
		case frameLeft, frameBroken:
			end.left()
		case frameCheck:
			if !r.checked(&end.link, f) {
				end.broken()
			}
		}
	case *farOpener:
		switch f.kind {
		case frameJoined:
			r.hasJoined(end, there)
		case frameRefused:
			why, detail := cutCode(f.payload)
			r.notJoined(end, &protocol.Error{Code: why, Detail: detail})
		case frameData:
			end.took(r, f.number, f.payload)
		case frameClose:
			why, detail := cutCode(f.payload)
			end.end(why, detail)
		case frameBroken:
			r.broken(end, errNotNow)
		case frameCheck:
			if !r.checked(&end.link, f) {
				r.broken(end, errNotNow)
				end.tell(r, frameBroken, nil)
			}
		}
	case *question:
		if f.kind == frameAnswer {
			r.answered(end, f.toSlot, bytes.Clone(f.payload), nil)
		}
	case *opener, *claim:
		if f.kind == frameLost {
			why, _ := cutCode(f.payload)
			r.lost(f.toSlot, f.toGen, why)
		}
	default:
		switch f.kind {
		case frameJoined, frameData, frameCheck:
			r.send(there, frame{kind: frameBroken, fromSlot: f.toSlot, fromGen: f.toGen}, true)
		}
	}
	return scratch
}

// checked reports whether all data has come that the other end says it has sent,
// and says the same of this end if that is asked for.
func (r *Router) checked(l *link, f *frame) bool {
	l.in.Lock()
	ok := f.number == l.in.number
	l.in.Unlock()
	if ok && len(f.payload) > 0 {
		l.tell(r, frameCheck, nil)
	}
	return ok
}

// NodeState is what is known of a node that was sent something in vain.
type NodeState uint8

// The states of a node.
const (
	// Unreached: it may be there, and what was sent may have come.
	Unreached NodeState = iota
	// Absent: it hears nothing now, and nothing came.
	Absent
	// Dead: it is Absent, and what it had is nobody's.
	Dead
)

// Undelivered takes frames back that did not arrive at node, or perhaps did not.
func (r *Router) Undelivered(node uint64, frames []byte, state NodeState) {
	for len(frames) > 0 {
		f, rest, err := cutFrame(frames)
		if err != nil {
			return // it was made here
		}
		frames = rest
		r.undelivered(node, &f, state)
	}
}

func (r *Router) undelivered(node uint64, f *frame, state NodeState) {
	to := f.to(node)
	switch end := r.places.find(f.fromSlot, f.fromGen).(type) {
	case *farJoining:
		end.left()
	case *farOpener:
		why := errNotNow
		if state == Dead {
			why = errKeyUnknown
		}
		r.broken(end, why)
	case *question:
		why := ErrDown
		if state == Dead {
			why = ErrNobody
		}
		r.answered(end, f.fromSlot, nil, why)
	}
	if state != Unreached {
		return
	}
	switch f.kind {
	case frameData, frameCheck, frameJoined:
		r.send(to, frame{kind: frameBroken, fromSlot: f.fromSlot, fromGen: f.fromGen}, true)
	case frameJoin, frameAsk, frameDoubt: // nobody waits for it any more
	default:
		again := *f
		r.send(to, again, true)
	}
}

// NodeGone ends all pairs with a node that is no more. In case it is, it is told.
func (r *Router) NodeGone(node uint64) {
	r.eachLink(func(l *link, cut func()) {
		l.out.Lock()
		there := l.out.there.Node
		l.out.Unlock()
		if there == node {
			l.tell(r, frameBroken, nil)
			cut()
		}
	})
}

// Alone ends all pairs with other nodes, and tells them.
func (r *Router) Alone() {
	r.eachLink(func(l *link, cut func()) {
		l.tell(r, frameBroken, nil)
		cut()
	})
}

// Recheck asks the other ends of all pairs whether something was lost on the way
// here or there, after messages could not be received for a while.
func (r *Router) Recheck() {
	r.eachLink(func(l *link, _ func()) { l.tell(r, frameCheck, []byte{1}) })
}

// eachLink calls f with all ends of pairs that have another; cut ends this one.
func (r *Router) eachLink(f func(l *link, cut func())) {
	r.places.each(func(at placed) {
		switch end := at.what.(type) {
		case *farJoining:
			f(&end.link, end.left)
		case *farOpener:
			end.in.Lock()
			joined := end.joined && !end.ended.Load()
			end.in.Unlock()
			if joined {
				f(&end.link, func() { r.broken(end, errNotNow) })
			}
		}
	})
}
