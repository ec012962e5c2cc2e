package conn

import (
	"errors"
	"sync"

	"github.com/gobwas/ws"

	"sigver/poller"
	"sigver/protocol"
)

// keptOutput bounds the buffers that are kept to be used again, in bytes.
const keptOutput = 64 << 10

const leftUnread = "too many bytes were left unread"

// output is what a connection has to write.
type output struct {
	bytes []byte
	sent  int // bytes of it that the socket has taken

	messages int   // that were added to bytes
	uses     int   // times that it was taken from outputs
	since    int64 // nanotime of that, if this time is sampled
	header   [ws.MaxHeaderSize]byte
}

// Write appends p. It never fails.
//
// A client that reads, but never all of it, must not make the buffer grow for
// ever: before it would grow, what has been sent is thrown out. That is done
// only once it is half of all, so that a byte is moved no more than once for
// each that was sent.
func (o *output) Write(p []byte) (int, error) {
	if len(o.bytes)+len(p) > cap(o.bytes) && o.sent >= len(o.bytes)-o.sent {
		o.bytes = o.bytes[:copy(o.bytes, o.bytes[o.sent:])]
		o.sent = 0
	}
	o.bytes = append(o.bytes, p...)
	return len(p), nil
}

// position is how much of it the socket has taken.
func (o *output) position() int {
	if o == nil {
		return 0
	}
	return o.sent
}

// outputs keeps idle buffers. Sends come from every loop, so it is one pool for
// all; the garbage collector empties it.
var outputs = sync.Pool{New: func() any { return new(output) }}

// Send queues payload, which it copies, as one text message. It never blocks.
// Once the connection is closing the payload is dropped, since nothing may
// follow a close frame. If the client has left more than Limits.Unsent bytes
// unread, it is closed as a slow consumer instead. Any goroutine; only after
// Events.Opening.
func (c *Conn) Send(payload []byte) {
	c.send(ws.OpText, payload)
}

// Close queues a close frame and, after it and all that was queued before it,
// ends the connection. The first call wins. Any goroutine; only after
// Events.Opening. Events.Leaving follows on the loop.
func (c *Conn) Close(code protocol.CloseCode, detail string) {
	c.mu.Lock()
	c.closeLocked(code, detail)
	c.mu.Unlock()
}

// Post lets fn run on the loop, after what happens there now, unless the
// connection is closed by then. Any goroutine; only after Events.Opening.
func (c *Conn) Post(fn func()) {
	c.set.loop.Post(func() {
		if c.state != stateClosed {
			fn()
		}
	})
}

func (c *Conn) send(op ws.OpCode, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.fd < 0 {
		return
	}
	if c.out != nil && len(c.out.bytes)-c.out.sent+len(payload) > c.maxUnsentLocked() {
		c.closeLocked(protocol.SlowConsumer, leftUnread)
		return
	}
	c.appendLocked(op, payload)
}

func (c *Conn) closeLocked(code protocol.CloseCode, detail string) {
	if c.stream {
		c.closeStreamLocked(code, detail)
		return
	}
	var body [ws.MaxControlFramePayloadSize]byte
	ws.PutCloseFrameBody(body[:], ws.StatusCode(code), "")
	c.closeWithLocked(code, protocol.AppendReason(body[:2], code, detail))
}

// closeWith queues a close frame with the given body; code is what the owner is
// told.
func (c *Conn) closeWith(code protocol.CloseCode, body []byte) {
	c.mu.Lock()
	c.closeWithLocked(code, body)
	c.mu.Unlock()
}

func (c *Conn) closeWithLocked(code protocol.CloseCode, body []byte) {
	if c.closing || c.fd < 0 {
		return
	}
	c.appendLocked(ws.OpClose, body)
	c.closedLocked(code)
}

// closedLocked notes that the last thing is in the output.
func (c *Conn) closedLocked(code protocol.CloseCode) {
	c.dirtyLocked() // blocked or not: Flush is where the loop learns of it
	c.closing = true
	c.code = code
}

// appendLocked adds one unmasked, unfragmented frame to the output, or a
// message to a stream.
func (c *Conn) appendLocked(op ws.OpCode, payload []byte) {
	out := c.outputLocked()
	out.messages++
	if c.stream {
		appendEvent(out, payload)
		return
	}
	header := ws.Header{Fin: true, OpCode: op, Length: int64(len(payload))}
	// Neither can fail: the buffer is large enough, Write takes everything.
	_ = ws.WriteHeaderBuffer(out, header, out.header[:])
	_, _ = out.Write(payload)
}

// outputLocked returns the output to append to, and sees to it that it will be
// flushed.
func (c *Conn) outputLocked() *output {
	if c.out == nil {
		c.out = outputs.Get().(*output)
		if c.out.uses++; c.out.uses%sampleEvery == 0 {
			c.out.since = nanotime()
		}
	}
	if !c.blocked {
		c.dirtyLocked()
	}
	return c.out
}

// dirtyLocked asks for a Flush at the end of the loop's batch, once.
func (c *Conn) dirtyLocked() {
	if !c.dirty {
		c.dirty = true
		c.set.loop.AtBatchEnd(c)
	}
}

// Flush writes once what is queued and takes the steps that follow from it. The
// loop calls it at the end of a batch.
func (c *Conn) Flush() {
	c.mu.Lock()
	c.dirty = false
	if c.fd < 0 {
		c.mu.Unlock()
		return
	}
	err := c.writeLocked()
	drained, last := c.drainedLocked(), c.closing
	c.mu.Unlock()

	if err != nil {
		c.lost()
		return
	}
	if last {
		c.leave() // it may have been another goroutine that closed it
	}
	if drained && c.state == stateClosing {
		c.end()
	}
}

// drainedLocked reports whether the socket has taken everything. Loop only.
func (c *Conn) drainedLocked() bool {
	sec := c.secure()
	return c.out == nil && (sec == nil || sec.wire.out == nil)
}

// writeLocked gives the socket what it takes, in one call.
func (c *Conn) writeLocked() error {
	if sec := c.secure(); sec != nil {
		return c.writeSecureLocked(sec)
	}
	if c.out == nil {
		return nil
	}
	n, err := poller.Write(int(c.fd), c.out.bytes[c.out.sent:])
	if err != nil && !errors.Is(err, poller.ErrAgain) {
		return err
	}
	c.out.sent += n
	c.set.written(n)
	if c.out.sent == len(c.out.bytes) {
		c.set.finished(c.out)
		c.releaseOutputLocked()
		return c.watchLocked(false)
	}
	return c.watchLocked(true)
}

func (c *Conn) writeSecureLocked(sec *secure) error {
	before := c.out.position()
	done, err := sec.write(c.out)
	if err != nil {
		return err
	}
	c.set.written(c.out.position() - before)
	if c.out != nil && c.out.sent == len(c.out.bytes) {
		c.set.finished(c.out)
		c.releaseOutputLocked()
	}
	return c.watchLocked(!done)
}

// watchLocked lets the loop tell when the socket can be written, or no more.
func (c *Conn) watchLocked(blocked bool) error {
	if c.blocked == blocked {
		return nil
	}
	c.blocked = blocked
	events := poller.Readable
	if blocked {
		events |= poller.Writable
	}
	return c.set.loop.Watch(int(c.fd), events)
}

func (c *Conn) releaseOutputLocked() {
	recycle(c.out)
	c.out = nil
}

// recycle keeps out, which may be nil, to be used again.
func recycle(out *output) {
	if out == nil || cap(out.bytes) > keptOutput {
		return
	}
	out.bytes, out.sent, out.messages, out.since = out.bytes[:0], 0, 0, 0
	outputs.Put(out)
}
