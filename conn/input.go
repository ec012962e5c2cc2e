package conn

import (
	"errors"

	"sigver/poller"
)

// keptInput bounds the buffers that an input may have to be used again, in bytes.
const keptInput = 4 << 10

// input holds what a client has sent of something that is not complete. Most
// connections have none most of the time.
type input struct {
	stream  []byte // bytes not yet understood: part of a header or of a frame
	message []byte // the fragments so far of a fragmented message, unmasked
	partial bool   // a fragmented message is open (RFC 6455 §5.4)
	begun   uint32 // of the set's clock: when it was empty last, or a message complete

	// secure makes the input of a connection with TLS one that it always has.
	secure *secure
}

// begin notes that something is about to be kept.
func (in *input) begin(now uint32) {
	if len(in.stream) == 0 && !in.partial {
		in.begun = now
	}
}

// held is how much memory in takes, in bytes.
func (in *input) held() int { return cap(in.stream) + cap(in.message) }

// secure is the TLS of c, or nil. Loop only.
func (c *Conn) secure() *secure {
	if c.in == nil {
		return nil
	}
	return c.in.secure
}

// dropSecure forgets it.
func (in *input) dropSecure() {
	if in.secure != nil {
		in.secure.wire.release()
		in.secure = nil
	}
}

// read takes once what the socket has. What is left makes the loop call again,
// after every other ready connection has had its turn.
func (c *Conn) read() {
	if sec := c.secure(); sec != nil {
		c.readSecure(sec)
		return
	}
	n, err := poller.Read(int(c.fd), c.set.buf)
	c.took(n, err)
}

// readSecure is read for TLS: what was decrypted already makes no loop call
// again, so it goes on until there is nothing.
func (c *Conn) readSecure(sec *secure) {
	for range readsATurn {
		n, err := sec.read(c.set.buf)
		c.took(n, err)
		if c.state == stateClosed {
			return
		}
		tooMuch := sec.wire.unsent() > maxAnswers
		if tooMuch || n == 0 || err != nil {
			c.Flush() // TLS itself may have something to say
		}
		switch {
		case n == 0 || err != nil || c.state == stateClosed:
			return
		case tooMuch && sec.wire.unsent() > maxAnswers:
			// It asks for one answer after the other, and reads none (KeyUpdate,
			// RFC 8446 §4.6.3).
			c.lost()
			return
		}
	}
	c.set.loop.Post(func() {
		if c.state != stateClosed {
			c.readSecure(sec)
		}
	})
}

// took deals with what was read into the set's buffer.
func (c *Conn) took(n int, err error) {
	switch {
	case errors.Is(err, poller.ErrAgain):
	case err != nil:
		c.lost()
	case n == 0:
		c.endOfInput()
	case c.state == stateClosing:
		// Read to see the end, and so that the kernel does not answer unread
		// bytes with a reset that would destroy our last ones.
	default:
		c.hear()
		c.receive(c.set.buf[:n])
	}
}

// hear notes that the client lives.
func (c *Conn) hear() {
	c.refill()
	c.heard, c.pinged = c.set.now, false
}

// receive understands what it can of the stream, to which fresh was added, and
// keeps the rest. Whatever way the stream is cut, the outcome is the same.
func (c *Conn) receive(fresh []byte) {
	b := fresh
	if c.in != nil && len(c.in.stream) > 0 {
		c.in.stream = append(c.in.stream, fresh...)
		b = c.in.stream
	}
	for len(b) > 0 && c.receiving() {
		used := c.understand(b)
		if used == 0 {
			break
		}
		b = b[used:]
	}
	if c.receiving() || c.state == stateQueued || c.state == stateMoving {
		c.keep(b)
	}
	if c.state == stateOpen && c.in != nil && c.set.severe.Load() {
		c.shed() // the sweep comes by once a second, and the kernel has more
	}
	switch c.state {
	case stateQueued:
		c.set.startHandshakes()
	case stateMoving:
		c.depart()
	}
}

func (c *Conn) receiving() bool {
	switch c.state {
	case stateProxied, stateHello, stateHandshake, stateOpen:
		return true
	}
	return false
}

// understand deals with the beginning of b and returns how much of it that was,
// or 0 when more must arrive.
func (c *Conn) understand(b []byte) int {
	switch {
	case c.state == stateProxied:
		return c.proxyHeader(b)
	case c.state == stateHello:
		c.hello(b)
		return 0
	case c.state == stateHandshake:
		return c.handshake(b)
	case c.stream:
		return len(b) // a client has nothing to say on a stream
	}
	return c.frame(b)
}

// keep stores the incomplete rest of the stream, or gives the buffers back.
func (c *Conn) keep(rest []byte) {
	if len(rest) == 0 {
		if c.in != nil {
			c.in.stream = c.in.stream[:0]
			if !c.in.partial {
				c.releaseInput()
			}
		}
		return
	}
	// rest may be the end of stream itself: append moves it to the front.
	in := c.input()
	in.begin(c.set.now)
	in.stream = append(in.stream[:0], rest...)
}

func (c *Conn) input() *input {
	if c.in == nil {
		c.in = c.set.newInput()
	}
	return c.in
}

func (c *Conn) releaseInput() {
	switch {
	case c.in == nil:
	case c.in.secure != nil:
		*c.in = input{secure: c.in.secure}
	default:
		c.set.freeInput(c.in)
		c.in = nil
	}
}

// endOfInput deals with a client that will send no more. Without a close frame
// before it that is a lost connection, but an answer that is on its way to a
// client which only closed its sending half still gets there.
func (c *Conn) endOfInput() {
	if c.state != stateClosing {
		c.lost()
		return
	}
	c.inputEnded = true
	c.mu.Lock()
	drained := c.drainedLocked()
	if !drained {
		// The end stays readable for ever: stop being told of it.
		_ = c.set.loop.Watch(int(c.fd), poller.Writable)
		c.blocked = true
	}
	c.mu.Unlock()
	if drained {
		c.end()
	}
}
