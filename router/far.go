package router

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"sigver/protocol"
)

// joinTimeout is how long another node may take to answer a join.
const joinTimeout = 5 * time.Second

// errBroken is the end of a pair of which a message was lost on the way between
// nodes, or one of the nodes.
var errBroken = &protocol.Error{
	Code:   protocol.OpenerNoLongerAvailable,
	Detail: "the way to the Opener's node is broken",
}

// link is one end of a pair whose other end is at another node. The order of
// locks is in, opener.mu, out.
type link struct {
	slot, gen uint32 // of this end; immutable

	in struct {
		sync.Mutex
		number uint32 // of the last data that came
	}
	out struct {
		sync.Mutex
		there  Ref    // the other end, once it is known
		number uint32 // of the last data that was sent
	}
	ended atomic.Bool // nothing is sent any more, and nothing taken
}

// tell sends the other end a frame. What is not data is always sent.
func (l *link) tell(r *Router, kind frameKind, payload []byte) {
	l.out.Lock()
	defer l.out.Unlock()
	r.send(l.out.there, frame{kind: kind, fromSlot: l.slot, fromGen: l.gen, number: l.out.number, payload: payload}, true)
}

// data sends the other end data. It is false if that is not possible, and then
// the pair has to end.
func (l *link) data(r *Router, payload []byte) bool {
	l.out.Lock()
	defer l.out.Unlock()
	if l.ended.Load() {
		return true
	}
	l.out.number++
	return r.send(l.out.there, frame{kind: frameData, fromSlot: l.slot, fromGen: l.gen, number: l.out.number, payload: payload}, false)
}

// follows reports whether data with this number is the next, and notes it.
func (l *link) followsLocked(number uint32) bool {
	if number != l.in.number+1 {
		return false
	}
	l.in.number = number
	return true
}

// send sends f to the place to.
func (r *Router) send(to Ref, f frame, must bool) bool {
	f.toSlot, f.toGen = to.Slot, to.Gen
	var room [512]byte
	return r.engine.Send(to, f.append(room[:0]), must)
}

// code is a close code as a payload, before whatever else there is to say.
func code(c protocol.CloseCode) []byte {
	return binary.BigEndian.AppendUint16(nil, uint16(c))
}

func cutCode(payload []byte) (c protocol.CloseCode, rest string) {
	if len(payload) < 2 {
		return protocol.OpenerNoLongerAvailable, ""
	}
	c = protocol.CloseCode(binary.BigEndian.Uint16(payload))
	return c, string(payload[2:])
}
