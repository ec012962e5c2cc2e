package conn

import (
	"bytes"
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"sigver/poller"
)

const (
	readSize  = 16 << 10 // bytes that one read may bring: a turn of one connection
	keptIdle  = 64       // inputs that a set keeps to be used again
	tick      = 125 * time.Millisecond
	tickParts = uint32(SweepTime / tick)
)

// Set is the connections of one loop and what they share: the buffer that all
// of them read into, a coarse clock, the limits. It belongs to the loop's
// goroutine.
type Set struct {
	// Owner is for whoever made the set, to be found from a Conn without a
	// pointer in each. Set it before the first Serve.
	Owner any
	// TLS is what connections are encrypted with, or nil. Set it before the
	// first Serve.
	TLS *tls.Config

	loop   *poller.Loop
	limits *Limits
	events func(*Conn) Events
	onTick func() (crowded bool)

	conns  []*Conn         // in no order; Conn.index is the place
	queued []*Conn         // in line for a TLS handshake, some closed meanwhile
	away   []handshakeAway // the oldest first
	start  time.Time       // the same for all sets: a connection may go from one to another
	now    uint32          // milliseconds since start, as of the last tick or later; wraps after 49 days
	ticked uint32          // now of the last tick
	swept  int             // how far the present sweep has come
	stats  Stats

	patient uint32 // until then nobody is closed for being silent; 0: it is over. Loop only
	hurried bool   // what onTick said; loop only
	move    move   // of the connection in stateMoving; loop only
	more    bool   // bytes follow the frame that is being dealt with; loop only

	tight  atomic.Bool // memory is short
	severe atomic.Bool // and the server may not wait for it to be more

	buf    []byte
	inputs []*input // idle ones

	// For frameHeader and handshake, here so that they allocate nothing.
	reader  bytes.Reader
	header  [ws.MaxHeaderSize]byte
	upgrade upgrade
}

// NewSet makes the set of loop's connections. limits must not change any more.
// events finds a connection's owner, always the same; a pointer to it in each Conn
// would take 16 bytes, and who embeds a Conn knows where it is. onTick, unless nil,
// is called some times a second, on the loop, perhaps before NewSet returns. It reports
// whether clients wait because there are as many sockets as may be: while they do,
// those that are here have hurriedHandshake to say what they want.
func NewSet(loop *poller.Loop, limits *Limits, events func(*Conn) Events, onTick func() (crowded bool)) (*Set, error) {
	s := &Set{
		loop:   loop,
		limits: limits,
		events: events,
		onTick: onTick,
		start:  epoch,
		buf:    make([]byte, readSize),
	}
	return s, loop.Every(tick, s.tick)
}

// Serve makes c, which must be zero, the connection of fd. fd is a connected,
// non-blocking socket and c's from here on: it is closed even if an error is
// returned. In that case its events are not told. Loop only.
func (s *Set) Serve(c *Conn, fd int) error {
	s.setClock()
	c.begin(s)
	c.deadline = s.after(s.limits.Handshake)
	if s.TLS != nil {
		c.state = stateHello
	}
	if err := c.attach(fd); err != nil {
		c.state = stateClosed
		return err
	}
	s.add(c)
	return nil
}

func (c *Conn) begin(s *Set) {
	c.set, c.fd = s, -1
	c.heard = s.now
	c.allowance = float32(s.limits.Burst)
}

func (s *Set) add(c *Conn) {
	c.index = int32(len(s.conns))
	s.conns = append(s.conns, c)
}

// GoAway ends all connections as Conn.GoAway does. Loop only.
func (s *Set) GoAway() {
	s.each((*Conn).GoAway)
}

// GoAwaySome is GoAway for as many open connections as it can take from budget, which
// sets of several loops share. It returns how many of those are left, and how many are
// on their way to be open. Loop only.
func (s *Set) GoAwaySome(budget *atomic.Int64) (open, entering int) {
	s.each(func(c *Conn) {
		switch c.state {
		case stateProxied, stateHello, stateQueued, stateAway, stateHandshake:
			entering++
		case stateOpen:
			if budget.Load() > 0 && budget.Add(-1) >= 0 {
				c.GoAway()
			} else {
				open++
			}
		case stateMoving, stateClosing, stateClosed:
		}
	})
	return open, entering
}

// Drop closes all connections as they are. Loop only.
func (s *Set) Drop() {
	s.each((*Conn).lost)
}

// each calls f on every connection; f may remove the one that it gets.
func (s *Set) each(f func(*Conn)) {
	for i := len(s.conns) - 1; i >= 0; i-- {
		f(s.conns[i])
	}
}

// remove takes c out by putting the last one in its place.
func (s *Set) remove(c *Conn) {
	last := len(s.conns) - 1
	moved := s.conns[last]
	s.conns[c.index] = moved
	moved.index = c.index
	s.conns[last] = nil
	s.conns = s.conns[:last]
	// A crowd that has left should not leave its list behind.
	if cap(s.conns) > 1024 && len(s.conns) < cap(s.conns)/4 {
		s.conns = append(make([]*Conn, 0, cap(s.conns)/2), s.conns...)
	}
}

func (s *Set) newInput() *input {
	if n := len(s.inputs); n > 0 {
		in := s.inputs[n-1]
		s.inputs = s.inputs[:n-1]
		return in
	}
	return new(input)
}

func (s *Set) freeInput(in *input) {
	if len(s.inputs) == keptIdle {
		return
	}
	if cap(in.stream) > keptInput || cap(in.message) > keptInput {
		*in = input{}
	}
	in.stream, in.message, in.partial = in.stream[:0], in.message[:0], false
	s.inputs = append(s.inputs, in)
}

// frameHeader reads the frame header at the beginning of b, which takes size
// bytes. It returns io.EOF or io.ErrUnexpectedEOF when b is too short.
func (s *Set) frameHeader(b []byte) (h ws.Header, size int, err error) {
	s.reader.Reset(b)
	h, err = ws.ReadHeaderBuffer(&s.reader, s.header[:])
	return h, len(b) - s.reader.Len(), err
}
