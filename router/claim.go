package router

import (
	"bytes"
	"errors"
	"time"

	"sigver/protocol"
)

var (
	errNotNow = &protocol.Error{
		Code:   protocol.TryAgainLater,
		Detail: "the nodes cannot agree on keys at the moment",
	}
	errNotSure = &protocol.Error{
		Code:   protocol.TryAgainLater,
		Detail: "this node cannot be sure at the moment that the key is still its own",
	}
)

// claim is an open that waits for the cluster's engine. It becomes a record, in
// the same place, if the key is this node's then. It belongs to the goroutine of
// its session.
type claim struct {
	session *Session
	asked   Claim
	backlog backlog

	lost protocol.CloseCode // another has the key since; guarded by places.mu
}

// claim asks for key. Nothing is in the table before the answer: until then
// nobody can join, here or elsewhere.
func (r *Router) claim(s *Session, key, token []byte) {
	c := &claim{session: s}
	s.role = opening
	tenure, _ := r.engine.Tenure()
	c.asked = Claim{
		Key: bytes.Clone(key), Token: bytes.Clone(token),
		Time: time.Now().UnixMilli(), Tenure: tenure,
	}
	r.places.put(func(slot, gen uint32) any {
		s.id = slot
		c.asked.Ref = Ref{r.engine.Node(), slot, gen}
		return c
	})
	r.engine.Claim(c.asked, func(before Ref, err error) {
		if !errors.Is(err, ErrTaken) {
			r.settle(c, before, err)
			return
		}
		r.doubt(before, func(gone bool) {
			if !gone {
				r.settle(c, before, err)
				return
			}
			r.engine.Release(c.asked.Key, before)
			r.engine.Claim(c.asked, func(before Ref, err error) { r.settle(c, before, err) })
		})
	})
}

// doubt finds out whether what ref names is gone, for certain.
func (r *Router) doubt(ref Ref, done func(gone bool)) {
	if ref.Node == r.engine.Node() {
		done(r.places.find(ref.Slot, ref.Gen) == nil)
		return
	}
	r.ask(frameDoubt, ref, nil, func(answer []byte, err error) { done(err == nil && string(answer) == saysGone) })
}

// saysGone is what a node answers if an entry is doubted that is out of date: its
// release is on the way to the engine, or was forgotten by it.
const saysGone = "gone"

// settle takes the answer to its session. Any goroutine.
func (r *Router) settle(c *claim, before Ref, err error) {
	if err == nil {
		r.displace(before, &c.asked, protocol.KeyTakenOver)
	}
	if ref := c.asked.Ref; r.places.find(ref.Slot, ref.Gen) == nil { // gone meanwhile
		r.free(c, err)
	}
	c.session.peer.Post(func() { r.claimed(c, err) })
}

// free releases the key of c after its answer, which may be wrong.
func (r *Router) free(c *claim, err error) {
	if !errors.Is(err, ErrNotAsked) {
		r.engine.Release(c.asked.Key, c.asked.Ref)
	}
}

// leaveClaim is the end of s while it waits.
func (r *Router) leaveClaim(s *Session) {
	c := r.places.at(s.id).(*claim)
	r.places.drop(s.id)
	r.engine.Release(c.asked.Key, c.asked.Ref)
}

// displace ends what c has replaced, if that is here. Another node is told by the
// engine.
func (r *Router) displace(before Ref, c *Claim, why protocol.CloseCode) {
	if before.Node == r.engine.Node() && before != c.Ref {
		r.lost(before.Slot, before.Gen, why)
	}
}

// lost ends what has lost its key. A claim learns it when it is answered.
func (r *Router) lost(slot, gen uint32, why protocol.CloseCode) {
	if o := r.places.lose(slot, gen, why); o != nil {
		r.evict(o, slot, gen, why)
	}
}

// claimed is the answer, on the session's goroutine.
func (r *Router) claimed(c *claim, err error) {
	s, tenure := c.session, c.asked.Tenure
	if s.role != opening {
		return
	}
	if errors.Is(err, ErrDown) && r.openAnyway {
		// It is claimed when the engine is back.
		err, tenure = nil, never
	}
	switch {
	case errors.Is(err, ErrTaken):
		r.notOpened(s, errKeyExists)
		return
	case err != nil:
		r.free(c, err)
		r.notOpened(s, errNotNow)
		return
	}
	switch why, exists := r.install(c, tenure); {
	case exists:
		r.notOpened(s, errKeyExists)
		return
	case why != 0:
		r.places.drop(s.id)
		s.role = unbound
		s.answer(true, nil)
		s.refuse(&protocol.Error{Code: why, Detail: "another connection has this key by now"})
		return
	}
	if now, _ := r.engine.Tenure(); now != tenure {
		if o := s.opener; o != nil {
			at := placed{s.id, place{gen: c.asked.Ref.Gen, tenure: tenure, claimed: c.asked.Time}}
			r.reclaim(o, at, Yielding, now, make(chan bool, 1))
		}
	}
	r.handleBacklog(s, &c.backlog)
}

// notOpened answers an open.
func (r *Router) notOpened(s *Session, why *protocol.Error) {
	r.places.drop(s.id)
	s.role = unbound
	s.answer(false, nil)
	s.refuse(why)
}

// install makes the session of c the Opener of the key, unless c has lost it
// already, which is why, or the engine was not asked and somebody here has it.
func (r *Router) install(c *claim, tenure uint32) (why protocol.CloseCode, exists bool) {
	s, slot := c.session, c.session.id
	sh, hash := r.shardOf(c.asked.Key)
	for {
		o, isNew := sh.claim(hash, c.asked.Key, c.asked.Token, s)
		if isNew {
			if why = r.places.own(slot, o, tenure, c.asked.Time); why != 0 {
				r.killLocked(o)
				o.mu.Unlock()
				sh.remove(hash, o)
				return why, false
			}
			s.bindLocked(asOpener, o, nil)
			o.mu.Unlock()
			return 0, false
		}
		o.mu.Lock()
		if o.holder == nil {
			o.mu.Unlock()
			sh.remove(hash, o)
			continue
		}
		if tenure == never && !o.admits(c.asked.Token) {
			o.mu.Unlock()
			return 0, true
		}
		// Another connection of this node with the same token was faster. Unless
		// that has claimed the key after this one, this place is the key's.
		if why = r.places.own(slot, o, tenure, c.asked.Time); why == 0 {
			r.places.drop(o.holder.id)
			s.takeOverLocked(o, nil)
			s.id = slot
		}
		o.mu.Unlock()
		return why, false
	}
}

// sure reports whether the key of o, whose Opener is s, is certainly not another
// node's by now.
func (r *Router) sure(holder *Session) bool {
	if r.engine == nil {
		return true
	}
	tenure, sure := r.engine.Tenure()
	switch {
	case sure && r.places.tenureOf(holder.id) == tenure:
		return true
	case !r.openAnyway:
		return false
	case !sure:
		return true
	}
	up, _ := r.engine.State()
	return !up // perhaps it could not be asked yet
}

// evict ends the record o, whose key is another's, if it is still in that place: its
// Opener is closed with why, and its Joinings with it. The engine is not asked to
// release the key.
func (r *Router) evict(o *opener, slot, gen uint32, why protocol.CloseCode) {
	o.mu.Lock()
	holder := o.holder
	if holder == nil || holder.id != slot || r.places.find(slot, gen) != o {
		o.mu.Unlock()
		return
	}
	orphans := r.killLocked(o)
	o.mu.Unlock()
	r.places.drop(holder.id)
	sh, hash := r.shardOfOpener(o)
	sh.remove(hash, o)
	holder.peer.Close(why, "another connection has this key by now")
	for _, orphan := range orphans {
		orphan.peer.Close(protocol.OpenerNoLongerAvailable, "the Opener's connection is gone")
	}
}

// Reclaim asks for all keys of this node again, some at a time, with the given
// right. It returns when that is done or the engine does not answer, which is
// false. One call at a time.
func (r *Router) Reclaim(right Right) bool {
	const atOnce = 1000
	tenure, _ := r.engine.Tenure()
	answered := true
	for next := uint32(1); next != 0 && answered; {
		var some []placed
		some, next = r.places.some(next, atOnce)
		answers := make(chan bool, len(some))
		asked := 0
		for _, at := range some {
			if o, ok := at.what.(*opener); ok {
				asked++
				r.reclaim(o, at, right, tenure, answers)
			}
		}
		for range asked {
			answered = <-answers && answered
		}
	}
	return answered
}

func (r *Router) reclaim(o *opener, at placed, right Right, tenure uint32, answers chan<- bool) {
	c := Claim{
		Key: []byte(o.key), Ref: Ref{r.engine.Node(), at.slot, at.gen},
		Time: at.claimed, Tenure: tenure, Right: right,
	}
	if at.tenure == never && right == Yielding {
		// It was opened while the engine did not answer: whoever was first keeps it.
		c.Right = ByTime
	}
	if o.token != nil {
		c.Token = []byte(*o.token)
	}
	r.engine.Claim(c, func(before Ref, err error) {
		switch {
		case errors.Is(err, ErrTaken):
			r.evict(o, at.slot, at.gen, protocol.KeyExists)
		case err == nil:
			r.places.renew(at.slot, at.gen, tenure)
			r.displace(before, &c, protocol.KeyExists)
			if r.places.find(at.slot, at.gen) != o {
				r.engine.Release(c.Key, c.Ref) // its Opener left meanwhile
			}
		}
		answers <- !errors.Is(err, ErrDown)
	})
}
