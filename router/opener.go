package router

import (
	"crypto/subtle"
	"sync"

	"sigver/protocol"
)

// What only an Opener, or who would be one, is refused.
var (
	errKeyExists = &protocol.Error{
		Code:   protocol.KeyExists,
		Detail: "another connection has opened this key",
	}
	errNotOpener = &protocol.Error{
		Code:   protocol.TransmitBeforeOpen,
		Detail: "only a connection that has opened a key can send to an id",
	}
)

// opener is the record of one open key. There is one for each idle Opener, so
// its size counts: 48 bytes on 64-bit systems, all of an allocator's size class.
type opener struct {
	// Immutable.
	key   string
	token *string // what a takeover must show; nil if it cannot be taken over

	mu sync.Mutex

	// Guarded by mu.
	holder   *Session            // the present Opener; nil once dead, for good
	joinings map[uint32]*Session // by id; nil when there are none
}

func newOpener(key, token []byte, holder *Session) *opener {
	o := &opener{key: string(key), holder: holder}
	if len(token) > 0 {
		secret := string(token)
		o.token = &secret
	}
	return o
}

// open makes s the Opener of key: of a new record if the key is free, or of the
// present one if token is its token.
func (r *Router) open(s *Session, key, token, scratch []byte) ([]byte, error) {
	if s.role != unbound {
		return scratch, errAlreadyBound
	}
	sh, hash := r.shardOf(key)
	for {
		var o *opener
		isNew := false
		if r.engine == nil {
			o, isNew = sh.claim(hash, key, token, s)
		} else if o = sh.find(hash, key); o == nil {
			r.claim(s, key, token)
			return scratch, nil
		}
		if isNew {
			scratch = s.bindLocked(asOpener, o, scratch)
			o.mu.Unlock()
			return scratch, nil
		}

		o.mu.Lock()
		switch {
		case o.holder == nil:
			o.mu.Unlock()
			// Its Opener is on the way to do this too. Instead of waiting for
			// that, do it here and try again.
			sh.remove(hash, o)

		case r.engine != nil && !r.sure(o.holder):
			o.mu.Unlock()
			return s.answer(false, scratch), errNotSure

		case !o.admits(token):
			o.mu.Unlock()
			return s.answer(false, scratch), errKeyExists

		default:
			scratch = s.takeOverLocked(o, scratch)
			o.mu.Unlock()
			return scratch, nil
		}
	}
}

// admits reports whether token gives the right to take over o. How long that
// takes does not tell how much of a wrong token is right.
func (o *opener) admits(token []byte) bool {
	return o.token != nil && subtle.ConstantTimeCompare([]byte(*o.token), token) == 1
}

// takeOverLocked makes s the holder of o. The old one is nobody from here on:
// o no longer names it, so what it still sends and its Gone come to nothing.
func (s *Session) takeOverLocked(o *opener, scratch []byte) []byte {
	old := o.holder
	o.holder = s
	s.id = old.id
	old.peer.Close(protocol.KeyTakenOver, "another connection took the key over with its token")
	return s.bindLocked(asOpener, o, scratch)
}

// toJoining relays data to the Joining id of the Opener s, or tells s that there
// is none.
func (s *Session) toJoining(id uint32, data, scratch []byte) ([]byte, error) {
	if s.role != asOpener {
		return scratch, errNotOpener
	}
	o := s.opener
	scratch = protocol.AppendData(scratch[:0], data)

	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holder != s {
		return scratch, nil // taken over, and being closed
	}
	if to := o.joinings[id]; to != nil {
		to.peer.Send(scratch)
		return scratch, nil
	}
	// Still under the lock: a Joining that comes now may draw this very id.
	scratch = protocol.AppendUnavailable(scratch[:0], id)
	s.peer.Send(scratch)
	return scratch, nil
}

// leaveKey frees the key of the Opener s and closes its Joinings, unless the key
// was taken over.
func (r *Router) leaveKey(s *Session) {
	o := s.opener
	o.mu.Lock()
	if o.holder != s {
		o.mu.Unlock()
		return
	}
	sh, hash := r.shardOfOpener(o)
	orphans := r.killLocked(o)
	o.mu.Unlock()

	sh.remove(hash, o)
	if r.engine != nil {
		gen := r.places.drop(s.id)
		r.engine.Release([]byte(o.key), Ref{r.engine.Node(), s.id, gen})
	}

	// Not under a lock: there can be very many. Nobody else has this map any
	// more, and the sessions in it find nothing to leave when they go.
	const detail = "the Opener's connection is gone"
	for _, orphan := range orphans {
		switch _, far := orphan.peer.(*farJoining); {
		case !far && r.silent.Load():
		case !far && r.stopping.Load():
			orphan.peer.Close(protocol.GoingAway, "the server is stopping, and "+detail)
		default:
			orphan.peer.Close(protocol.OpenerNoLongerAvailable, detail)
		}
	}
}

// killLocked makes o a dead record and returns the Joinings that it had.
func (r *Router) killLocked(o *opener) (orphans map[uint32]*Session) {
	orphans = o.joinings
	o.holder = nil
	o.joinings = nil
	sh, _ := r.shardOfOpener(o)
	sh.joinings.Add(-int64(len(orphans)))
	return orphans
}
