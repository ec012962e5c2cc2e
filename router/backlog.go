package router

import (
	"bytes"

	"sigver/protocol"
)

// backlogRoom bounds what a client may say before its open or join is answered,
// in bytes, where each message counts for messageCost besides its data. One
// message may always be said.
const (
	backlogRoom = 64 << 10
	messageCost = 64
)

// errBacklog is the end of a client that says more than that.
var errBacklog = &protocol.Error{
	Code:   protocol.TryAgainLater,
	Detail: "too much was sent before the answer",
}

// backlog keeps the messages of a client whose open or join another node or the
// engine has to answer first. It belongs to the session's goroutine.
type backlog struct {
	messages []protocol.Message
	bytes    int
}

func (b *backlog) add(m *protocol.Message) error {
	b.bytes += messageCost + len(m.Data) + len(m.Key) + len(m.Token)
	if b.bytes > backlogRoom && len(b.messages) > 0 {
		return errBacklog
	}
	kept := *m
	kept.Key, kept.Token, kept.Data = bytes.Clone(m.Key), bytes.Clone(m.Token), bytes.Clone(m.Data)
	b.messages = append(b.messages, kept)
	return nil
}

// wait keeps m until s is answered. Who is gone or refused is not.
func (r *Router) wait(s *Session, m *protocol.Message) error {
	if s.refused {
		return nil
	}
	switch s.role {
	case opening:
		return r.places.at(s.id).(*claim).backlog.add(m)
	case joining:
		return r.places.at(s.id).(*farOpener).backlog.add(m)
	}
	return nil
}

// handleBacklog does what s asked for while it waited. An error ends it.
func (r *Router) handleBacklog(s *Session, b *backlog) {
	var scratch []byte
	for i := range b.messages {
		var err error
		if scratch, err = r.Handle(s, &b.messages[i], scratch); err != nil {
			s.refuse(err)
			return
		}
	}
}

// refuse closes s for an error of Handle.
func (s *Session) refuse(err error) {
	s.refused = true
	why := err.(*protocol.Error)
	s.peer.Close(why.Code, why.Detail)
}
