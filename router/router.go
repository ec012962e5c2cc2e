// Package router pairs Openers with Joinings by key and relays between them. A
// peer is anything that can Send and Close; there are no sockets here.
//
// One message's way is: Router.Handle looks at its kind; the method for that
// kind (open and toJoining in opener.go, join and toOpener in joining.go) finds
// the opener record that the message is about, locks it and hands the bytes to
// the other side's Peer.Send.
//
// # Records
//
// Every open key has one opener record, in the shard of the table that the
// key's hash selects. The record knows its holder, the Session of the present
// Opener, and its Joinings by id. A Session points to the record that it is
// bound to. A takeover changes the holder and nothing else, which is why the
// Joinings need not notice. A record without a holder is dead: it never comes
// back to life, and whoever finds one in the table treats the key as free.
//
// # Locks
//
// The order is shard.mu, then opener.mu, then whatever lock a Peer has inside
// Send and Close. No two locks of one kind are ever held together. shard.mu is
// held for work on the map only: a Peer's lock may be held by somebody who is
// writing to a socket, and that must not decide how long other keys wait.
//
// What a peer must get in order is sent under opener.mu:
//   - the answer to an open or join comes before anything that is relayed;
//   - a message arrives before whatever its sender sent later, and before the
//     news that its sender is gone;
//   - a message comes from, or goes to, the Opener before a takeover or the
//     Opener after it, never a bit of both.
//
// That is cheap because Send only appends to a buffer.
package router

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"sigver/protocol"
)

// Peer is a connection as the router sees it. The router calls both methods
// from any goroutine and while it holds its own locks, so neither may block or
// call into the router.
type Peer interface {
	// Send queues payload, one JSON text, and copies what it keeps of it. On a
	// peer that is closed or closing it does nothing.
	Send(payload []byte)

	// Close queues the end of the connection, after all that was sent before.
	// The first call decides the code and the detail; later ones do nothing.
	Close(code protocol.CloseCode, detail string)

	// Post lets fn run soon on the goroutine that owns the peer's Session, if it is
	// not closed by then. Only in a cluster.
	Post(fn func())
}

// Router is the table of keys and all that hangs on it. Its methods may be
// called from any goroutine.
type Router struct {
	// Immutable.
	seed        maphash.Seed
	shards      []paddedShard // a power of two of them
	maxJoinings int

	// Immutable, nil and unused without a cluster.
	engine     Engine
	openAnyway bool
	places     places
	answer     func(text []byte, reply func([]byte))

	stopping atomic.Bool // set once, by Stopping
	silent   atomic.Bool // set once, by Silence
}

// New returns a Router without keys. Its table is split into shards parts with
// a lock each, rounded up to a power of two and at least one; more of them let
// more goroutines open, join and leave at a time. An Opener has at most
// maxJoinings Joinings at a time, or any number if maxJoinings is 0.
func New(shards, maxJoinings int) *Router {
	n := 1 << bits.Len(uint(max(shards, 1)-1))
	r := &Router{
		seed:        maphash.MakeSeed(),
		shards:      make([]paddedShard, n),
		maxJoinings: maxJoinings,
	}
	for i := range r.shards {
		r.shards[i].openers.seed = r.seed
	}
	return r
}

// Attach prepares s, which must be zero, to be the place of the connection p in
// r. It comes before any other use of s. The router keeps pointers to s while it
// is bound, so s must not be copied, nor be used again for another connection.
func (r *Router) Attach(s *Session, p Peer) {
	s.peer = p
}

// Stopping makes the router tell the Joinings of an Opener that is gone that the
// server is stopping, which is why it went: they must look for it elsewhere too.
func (r *Router) Stopping() { r.stopping.Store(true) }

// Silence makes the router tell nobody any more that somebody else is gone. It is
// for the end of the program, when each is told that all are going: without it
// who came to hear which news first would be chance.
func (r *Router) Silence() { r.silent.Store(true) }

// Stats are counts over the whole table.
type Stats struct {
	Keys     int // keys that have an Opener
	Joinings int // Joinings that have an Opener
}

// Stats returns the present counts. While connections come and go each part of
// them is of a slightly different moment.
func (r *Router) Stats() Stats {
	var total Stats
	for i := range r.shards {
		s := &r.shards[i].shard
		total.Keys += s.size()
		total.Joinings += int(s.joinings.Load())
	}
	return total
}

// shardOf returns the shard where key is, if it is anywhere, and the key's hash.
// The hash is seeded at random, so that clients cannot choose keys that share
// one shard or one slot.
func (r *Router) shardOf(key []byte) (*shard, uint64) {
	hash := maphash.Bytes(r.seed, key)
	return r.shardAt(hash), hash
}

// shardOfOpener is shardOf of a record's key. A record does not know its shard:
// a pointer to it in each would cost more than to hash again when one goes.
func (r *Router) shardOfOpener(o *opener) (*shard, uint64) {
	hash := maphash.String(r.seed, o.key)
	return r.shardAt(hash), hash
}

func (r *Router) shardAt(hash uint64) *shard {
	return &r.shards[hash&uint64(len(r.shards)-1)].shard
}
