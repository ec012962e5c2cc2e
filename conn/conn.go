// Package conn turns the bytes of one client into messages and back: TLS, the
// HTTP handshake and the frames of RFC 6455, or the events of a stream. It knows
// nothing of keys.
//
// A connection belongs to one loop for life; a client may be moved to another one,
// where it has another connection (Move). Its input and its state are
// touched by that loop's goroutine only; its output is under the connection's
// mutex, because any loop may relay to it. No connection has a goroutine, a
// timer or, while nothing is on its way, a buffer.
//
// Inwards: ready -> receive -> frame -> Events.Message. Outwards: Send appends
// a frame to the output and asks the loop for a Flush at the end of its batch.
package conn

import (
	"net/netip"
	"sync"

	"sigver/poller"
	"sigver/protocol"
)

// Events is what a connection tells its owner. All of it is called on the
// connection's loop, with no lock held.
type Events interface {
	// Proxied says whom a proxy speaks for, first of all; with no valid address
	// for itself. False closes the connection. Only after ServeProxied.
	Proxied(client netip.Addr) bool
	// Visiting is asked when something else than a WebSocket is asked for. header is
	// valid until it returns. A refusal is sent; after nil, Visit follows.
	Visiting(header []byte) *Refusal
	// Visit brings a connection on which something else than a WebSocket was
	// asked for. It is the owner's; the loop knows it no more. Nothing follows.
	Visit(*Visitor)
	// Opening is asked when a correct handshake has arrived, whose header is
	// valid until it returns (HeaderValues). A refusal is sent instead of the
	// upgrade; nil opens the connection.
	Opening(header []byte) *Refusal
	// Message brings one text message, valid UTF-8, within Limits.Message. The
	// bytes are valid, and the callee's to change, until it returns. An error
	// closes the connection: with its code if it is a *protocol.Error.
	Message(text []byte) error
	// Leaving says that no message will come any more, nor be delivered. It is
	// called once if Opening returned nil, with the code of the close frame that
	// was sent or received, or with Lost. Where a connection has moved, it is the
	// last one of them that is told this, and what follows.
	Leaving(code protocol.CloseCode)
	// Closed says that the descriptor is closed. It is called last, and once,
	// unless there was a Visit.
	Closed()
}

// Lost stands for a connection that ended without a close frame (RFC 6455
// §7.1.5). It is never sent.
const Lost protocol.CloseCode = 1006

// Conn is one client. It is made to be embedded; Set.Serve brings it to life.
// Send and Close may be called from any goroutine, everything else is for the
// loop.
type Conn struct {
	// Immutable after Serve, or after it has come from another loop (Move).
	set *Set

	// Loop only. Times are milliseconds of the set's clock.
	in         *input  // what the client has begun to send; nil between messages
	index      int32   // place in set.conns
	heard      uint32  // when bytes last arrived; an interval before the ping, if that came late
	deadline   uint32  // when this state ends by itself; 0: never
	allowance  float32 // frames that it may still send at once (Limits.Burst)
	state      state
	pinged     bool // since it was last heard
	peerClosed bool // its close frame has arrived: nothing more will
	inputEnded bool // the byte stream itself has ended
	stream     bool // Server-Sent Events, not WebSocket; immutable after Serve

	// Guarded by mu.
	closing bool               // the close frame is in out; nothing may follow it
	dirty   bool               // Flush is waiting for the end of the batch
	blocked bool               // the socket took less than all; waiting until it is writable
	code    protocol.CloseCode // of our close frame
	fd      int32              // -1 once closed
	mu      sync.Mutex
	out     *output // unsent bytes; nil when there are none
}

// events is c's owner.
func (c *Conn) events() Events { return c.set.events(c) }

// IsStream reports whether c was made by ServeStream. It does not change.
func (c *Conn) IsStream() bool { return c.stream }

// Set is the set that serves c. It does not change.
func (c *Conn) Set() *Set { return c.set }

// PeerAddr is the address of the other end, while there is one. Loop only.
func (c *Conn) PeerAddr() (netip.Addr, error) {
	addr, err := poller.PeerAddr(int(c.fd))
	return addr.Addr(), err
}

// KeepOpen ends the time limit within which a new connection has to show what
// it wants (Limits.Idle). Loop only.
func (c *Conn) KeepOpen() {
	if c.state == stateOpen {
		c.deadline = 0
	}
}

// fail closes an open connection at once as far as its owner is concerned: what
// the client sends from here on is not looked at.
func (c *Conn) fail(code protocol.CloseCode, detail string) {
	c.Close(code, detail)
	c.leave()
}

// GoAway ends a connection in any state, telling the client that the server is
// stopping. Loop only.
func (c *Conn) GoAway() {
	switch c.state {
	case stateProxied, stateHello, stateQueued:
		c.close()
	case stateAway:
		c.abort()
	case stateHandshake:
		c.refuse(stopping)
	case stateOpen:
		c.fail(protocol.GoingAway, "the server is stopping")
	case stateMoving, stateClosing, stateClosed:
	}
}

// ready is the loop's callback. It may come late, for a connection that is
// closed already.
func (c *Conn) ready(r poller.Readiness) {
	switch c.state {
	case stateQueued: // which is told of failures only
		c.close()
		return
	case stateAway:
		return
	}
	if c.state != stateClosed && r&poller.Writable != 0 {
		c.Flush()
	}
	if c.state != stateClosed && r&(poller.Readable|poller.Failed) != 0 {
		c.read()
	}
}
