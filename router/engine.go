package router

import (
	"errors"
	"fmt"
)

// Ref names something that one node of a cluster has, for the others: a slot of
// its table, and which use of that slot it is. A Ref that is out of date leads to
// nothing, and never to somebody else.
type Ref struct {
	Node      uint64 // drawn at random when the node starts; never 0
	Slot, Gen uint32
}

// What an Engine can answer besides success.
var (
	// ErrTaken means that another living node has the key.
	ErrTaken = errors.New("the key is taken")
	// ErrUnknown means that no living node has the key.
	ErrUnknown = errors.New("no node has this key")
	// ErrDown means that the engine did not answer, or not in time, or has too much
	// to do. What was asked for may have happened all the same.
	ErrDown = errors.New("the cluster's engine does not answer")
	// ErrNotAsked is an ErrDown: the engine was not asked, and nothing has happened.
	ErrNotAsked = fmt.Errorf("it was not asked: %w", ErrDown)
)

// Right says who yields where two nodes claim one key.
type Right uint8

// The rights of a claim.
const (
	// ByToken: the one that has the key keeps it, unless the tokens are the same.
	ByToken Right = iota
	// Yielding: the other one keeps it.
	Yielding
	// ByTime: the earlier claim counts, or of those with one token the later, since
	// the engine may have forgotten.
	ByTime
)

// Claim is what is claimed.
type Claim struct {
	Key, Token []byte // not changed afterwards
	Ref        Ref
	Time       int64  // Unix time in milliseconds of the first claim
	Tenure     uint32 // of the node, when it asks: what it claimed in another is not sure
	Right      Right
}

// Engine is the registry that the nodes of a cluster share, and the way between
// them. No method waits for anything, and done is called once and on any
// goroutine, with no lock held, perhaps before the method returns. Claims and
// releases of one key take effect in the order in which they were asked for.
type Engine interface {
	// Node is the name of this node.
	Node() uint64
	// Claim makes c.Ref the owner of c.Key, and sends LostFrame to another node whose
	// it was until now, whatever becomes of the answer. before is whose it was, or
	// zero; with ErrTaken, whose it is. After ErrNotAsked the engine has Router.Reclaim
	// called later, unless c.Right is ByToken.
	Claim(c Claim, done func(before Ref, err error))
	// Release frees key, if it is still ref's.
	Release(key []byte, ref Ref)
	// LookUp finds the owner of key.
	LookUp(key []byte, done func(owner Ref, err error))
	// Send takes a frame to the node of to, after those for the same slot that were
	// sent before it. The frame is copied. A frame that did not arrive, as far as
	// is known, comes back to Router.Undelivered. It is false, and the frame is
	// dropped, if too much waits already; a frame that must be sent always finds
	// room.
	Send(to Ref, frame []byte, must bool) bool
	// Tenure grows each time that this node may have lost what it had claimed; it
	// begins with 1. sure is whether that has certainly not happened again.
	Tenure() (number uint32, sure bool)
	// State is whether the engine answers, and how many nodes are known to live.
	State() (up bool, nodes int)
}
