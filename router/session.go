package router

import "sigver/protocol"

// role is what a Session has become.
//
//	unbound --open--> asOpener  --Gone--> gone
//	        --join--> asJoining --Gone--> gone
//	        --Gone----------------------> gone
//
// In a cluster an open waits for the engine (opening) and a join of a key of
// another node for that node (joining), with what the client says meanwhile. Then
// they are as above, but that a Joining of another node's Opener is farAway.
type role uint8

const (
	unbound   role = iota
	asOpener       // has opened a key, even if another has taken it over since
	asJoining      // has joined an Opener, even if that is gone by now
	farAway        // has joined an Opener of another node
	opening        // below are those whose messages are not dealt with
	joining
	gone
)

// What Handle refuses before it is known whether the message is an Opener's or
// a Joining's.
var (
	errAlreadyBound = &protocol.Error{
		Code:   protocol.AlreadyBound,
		Detail: "this connection has already opened or joined a key",
	}
	errNoMessage = &protocol.Error{
		Code:   protocol.MessageError,
		Detail: "no known message",
	}
)

// Session is one connection's place in a Router: at first unbound, then an
// Opener or a Joining for the rest of its life. Its zero value needs
// Router.Attach, and all else that is done with it is done by that Router. It is
// part of its owner's connection by value, so it is small: 32 bytes on 64-bit
// systems, with nothing in it that its owner knows anyway.
//
// It belongs to one goroutine, the owner's. Other sessions' goroutines reach it
// through its opener record and use nothing but its peer.
type Session struct {
	peer Peer // immutable after Attach

	// Owner's goroutine only, and constant while a record refers to s: set
	// before the record gets s, cleared after it has lost it. So Check may read
	// them under opener.mu.
	opener *opener // what s opened or joined; nil when unbound or gone
	id     uint32  // a Joining's number at its Opener; in a cluster, else, its place
	role   role
	// An error ended it, after the answer to its open or join: what it says is not
	// heard any more. Without a cluster Handle returns such errors.
	refused bool
}

// Handle does what the message m of s's client asks for. All answers and relayed
// messages have been given to Peer.Send when it returns; nothing of m is kept.
//
// scratch is a buffer for building them, with contents that do not matter. It
// is returned, perhaps grown, to be passed again next time. Relaying allocates
// nothing once it is large enough.
//
// An error is always a *protocol.Error that is shared and must not be changed.
// It means that the caller has to close this connection with its code; what the
// client must get before that has been sent.
//
// After Gone, Handle does nothing. Only the goroutine that owns s may call it.
func (r *Router) Handle(s *Session, m *protocol.Message, scratch []byte) ([]byte, error) {
	if s.role >= opening || s.refused {
		return scratch, r.wait(s, m)
	}
	switch m.Kind {
	case protocol.Open:
		return r.open(s, m.Key, m.Token, scratch)
	case protocol.Join:
		return r.join(s, m.Key, m.Data, scratch)
	case protocol.ToOpener:
		if s.role == farAway {
			r.toFarOpener(s, m.Data)
			return scratch, nil
		}
		return s.toOpener(m.Data, scratch)
	case protocol.ToJoining:
		return s.toJoining(m.ID, m.Data, scratch)
	default:
		return scratch, errNoMessage
	}
}

// Bound reports whether s is an Opener or a Joining. One that lost its key or
// its Opener to others stays bound until it is gone.
func (s *Session) Bound() bool {
	return s.role != unbound && s.role != gone
}

// Unbound reports whether s could still become an Opener or a Joining. For the
// goroutine that owns s.
func (s *Session) Unbound() bool { return s.role == unbound && !s.refused }

// Waits reports whether the open or join of s is neither answered nor, with an
// error, over: others of a cluster have to be asked. For the goroutine that owns s.
func (s *Session) Waits() bool { return s.role == opening || s.role == joining }

// Gone ends the session when its connection is gone: an Opener's key becomes
// free and its Joinings are closed with OPENER_NO_LONGER_AVAILABLE; a Joining's
// id becomes free and its Opener is told. It harms nobody else's key: an Opener
// that was taken over leaves nothing behind. Safe to repeat, by the goroutine
// that owns s.
func (r *Router) Gone(s *Session) {
	switch s.role {
	case asOpener:
		r.leaveKey(s)
	case asJoining:
		r.leaveOpener(s)
	case opening:
		r.leaveClaim(s)
	case joining, farAway:
		r.leaveFarOpener(s)
	}
	s.role = gone
	s.opener = nil
}

// bindLocked makes s an Opener or a Joining of o, whose mutex is held, and
// tells its client. Nothing else can be sent to it before that.
func (s *Session) bindLocked(as role, o *opener, scratch []byte) []byte {
	s.role = as
	s.opener = o
	return s.answer(true, scratch)
}

// answer tells the client whether its open or join has succeeded.
func (s *Session) answer(ok bool, scratch []byte) []byte {
	scratch = protocol.AppendKeyAnswer(scratch[:0], ok)
	s.peer.Send(scratch)
	return scratch
}
