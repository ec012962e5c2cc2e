package router

import "sigver/protocol"

// farJoining stands for a Joining of another node at the record of its Opener. It
// is the Peer of its own Session. That belongs to whoever has link.in.
type farJoining struct {
	Session
	link
	router *Router
}

// Send passes on what the Joining is to get.
func (j *farJoining) Send(payload []byte) {
	if !j.data(j.router, payload) {
		// Not here: an opener is locked.
		go j.broken()
	}
}

// Close ends the Joining at its node.
func (j *farJoining) Close(why protocol.CloseCode, detail string) {
	if j.end() {
		j.tell(j.router, frameClose, append(code(why), detail...))
	}
}

// Post runs fn at once, on the goroutine that has the session.
func (j *farJoining) Post(fn func()) { fn() }

// end frees the place, and is false if that was done before.
func (j *farJoining) end() bool {
	if j.ended.Swap(true) {
		return false
	}
	j.router.places.drop(j.slot)
	return true
}

// left tells the Opener that the Joining is gone.
func (j *farJoining) left() {
	if j.end() {
		j.in.Lock()
		j.router.Gone(&j.Session)
		j.in.Unlock()
	}
}

// broken is left, and the other end is told.
func (j *farJoining) broken() {
	if j.end() {
		j.tell(j.router, frameBroken, nil)
		j.in.Lock()
		j.router.Gone(&j.Session)
		j.in.Unlock()
	}
}

// took takes the data of the Joining.
func (j *farJoining) took(f *frame, scratch []byte) []byte {
	j.in.Lock()
	if j.ended.Load() {
		j.in.Unlock()
		return scratch
	}
	follows := j.followsLocked(f.number)
	if follows {
		scratch, _ = j.toOpener(f.payload, scratch) // it is a Joining
	}
	j.in.Unlock()
	if !follows {
		j.broken()
	}
	return scratch
}

// joinFrom is the join of a client of another node.
func (r *Router) joinFrom(there Ref, f *frame, scratch []byte) []byte {
	refuse := func(err *protocol.Error) {
		r.send(there, frame{kind: frameRefused, payload: append(code(err.Code), err.Detail...)}, true)
	}
	o, ok := r.places.find(f.toSlot, f.toGen).(*opener)
	if !ok {
		refuse(errKeyUnknown)
		return scratch
	}
	var data []byte
	if len(f.payload) > 0 {
		data = f.payload[1:]
	}
	j := &farJoining{router: r}
	j.peer = j
	j.out.there = there
	// What the Joining says to it can come before it is bound, on another lane.
	j.in.Lock()
	defer j.in.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if why := r.mayJoinLocked(o); why != nil {
		refuse(why)
		return scratch
	}
	r.places.put(func(slot, gen uint32) any {
		j.slot, j.gen = slot, gen
		return j
	})
	j.tell(r, frameJoined, nil)
	return r.joinLocked(o, &j.Session, data, scratch)
}
