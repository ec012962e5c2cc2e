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
}

// read takes once what the socket has. What is left makes the loop call again,
// after every other ready connection has had its turn.
func (c *Conn) read() {
	buf := c.set.buf
	n, err := poller.Read(int(c.fd), buf)
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
		c.refill()
		c.heard, c.pinged = c.set.now, false
		c.receive(buf[:n])
	}
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
		var used int
		if c.state == stateHandshake {
			used = c.handshake(b)
		} else {
			used = c.frame(b)
		}
		if used == 0 {
			break
		}
		b = b[used:]
	}
	if c.receiving() {
		c.keep(b)
	}
}

func (c *Conn) receiving() bool {
	return c.state == stateHandshake || c.state == stateOpen
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
	in.stream = append(in.stream[:0], rest...)
}

func (c *Conn) input() *input {
	if c.in == nil {
		c.in = c.set.newInput()
	}
	return c.in
}

func (c *Conn) releaseInput() {
	if c.in != nil {
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
	drained := c.out == nil
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
