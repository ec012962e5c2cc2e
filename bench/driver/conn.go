//go:build linux

package driver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/http"
	"strconv"

	"sigver/poller"
)

// state is where a connection is. It only rises.
type state uint8

const (
	connecting state = iota // the request is not written yet
	shaking                 // the server's answer is awaited
	open
	closing // our close frame is queued
	closed
)

// conn is one client of the server.
type conn struct {
	d      *driver
	fd     int     // -1 before a tunnel is dug, and when closed
	tunnel *tunnel // wss only
	index  int     // in d.conns
	mask   [4]byte

	state    state
	leaver   bool // leavers wait for its end
	farewell bool // the server's close frame has come
	queued   bool // in d.dirty
	blocked  bool // the socket takes no more; watched for Writable
	in       []byte
	out      []byte
	written  int // of out

	deadline int64 // 0: nothing is awaited
	awaited  string

	// The scenario's.
	pair   *pair
	number int
	began  int64
}

// isJoining says whether it is the Joining of its pair.
func (c *conn) isJoining() bool { return c.pair != nil && c == c.pair.joining }

// dial begins a connection. The scenario is told that it opened, or that it is
// gone, and not before the present turn is over.
func (d *driver) dial(p *pair, number int) *conn {
	c := &conn{d: d, fd: -1, mask: mask(), pair: p, number: number, began: d.clock(), index: len(d.conns)}
	d.conns = append(d.conns, c)
	d.moves++
	d.peak = max(d.peak, len(d.conns))
	c.expect("the WebSocket handshake")
	fd, err := d.dialer.socket(d.dialer.node(p, number))
	switch {
	case err != nil:
	case d.dialer.secure != nil:
		c.tunnel = dig(c, fd)
	default:
		err = c.watch(fd)
	}
	if err != nil {
		d.loop.Post(func() {
			d.beginTurn()
			c.fail(faultConnect, "%v", err)
			d.endTurn()
		})
		return c
	}
	// On this machine the connection stands already; on the way to another one
	// the socket says that it would block.
	c.send(d.dialer.request)
	return c
}

// watch takes fd, which is connected or being connected.
func (c *conn) watch(fd int) error {
	d := c.d
	err := d.loop.Add(fd, func(r poller.Readiness) {
		d.beginTurn()
		c.ready(r)
		d.endTurn()
	})
	if err != nil {
		return errors.Join(err, poller.CloseFD(fd))
	}
	c.fd = fd
	return nil
}

// expect sets the time for the next step, calm lifts it.
func (c *conn) expect(what string) {
	c.awaited = what
	c.deadline = c.d.now + int64(c.d.plan.Timeout)
}

func (c *conn) calm() { c.deadline = 0 }

// ready is called by the loop.
func (c *conn) ready(r poller.Readiness) {
	if c.state == closed {
		return // by an earlier callback of the batch
	}
	if r&poller.Writable != 0 && c.blocked {
		c.flush()
	}
	if c.state == closed || r&(poller.Readable|poller.Failed) == 0 {
		return
	}
	if c.tunnel == nil {
		c.received(poller.Read(c.fd, c.d.read))
		return
	}
	// Epoll does not know what crypto/tls has read already.
	for c.received(c.tunnel.read(c.d.read)) {
	}
}

// received deals with the n bytes in d.read, or with err. There may be more if
// it is true.
func (c *conn) received(n int, err error) bool {
	switch {
	case errors.Is(err, poller.ErrAgain):
		return false
	case err != nil || n == 0:
		c.ended(err)
		return false
	}
	c.feed(c.d.read[:n])
	return c.state != closed
}

// ended: the server has closed the stream, with an error or, if that is nil,
// without.
func (c *conn) ended(err error) {
	switch {
	case c.farewell:
		c.leave(true)
	case c.state == connecting:
		c.fail(faultConnect, "%v", err)
	case c.state == shaking:
		c.fail(faultHandshake, "the server closed the connection in place of an answer (%v)", err)
	case err != nil:
		c.fail(faultClosed, "the stream broke: %v", err)
	default:
		c.fail(faultClosed, "the stream ended without a close frame")
	}
}

// feed takes bytes that have arrived.
func (c *conn) feed(b []byte) {
	if len(c.in) > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	rest := c.consume(b)
	switch {
	case c.state == closed:
		return // and in with it
	case len(rest) == 0:
		c.d.giveBuffer(c.in)
		c.in = nil
	default:
		if c.in == nil {
			c.in = c.d.takeBuffer()
		}
		c.in = append(c.in[:0], rest...)
	}
}

// consume deals with all that is whole in b and returns what is not.
func (c *conn) consume(b []byte) []byte {
	if c.state < open {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 {
			return b
		}
		if !c.accepted(b[:end]) {
			return nil
		}
		b = b[end+4:]
		c.state = open
		c.calm()
		c.d.scenario.opened(c)
	}
	for c.state != closed && !c.farewell {
		f, n := takeFrame(b)
		if n < 0 {
			c.fail(faultProtocol, "not a frame that a server sends: % x", b[:min(len(b), 8)])
			return nil
		}
		if n == 0 {
			return b
		}
		c.frame(&f)
		b = b[n:]
	}
	return nil
}

// accepted checks the server's answer to the handshake.
func (c *conn) accepted(header []byte) bool {
	line, _, _ := bytes.Cut(header, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 101")) {
		c.fail(faultHandshake, "%s", line[:min(len(line), 80)])
		return false
	}
	if !bytes.Contains(header, []byte(c.d.dialer.accept)) {
		c.fail(faultHandshake, "no right %s", http.CanonicalHeaderKey("sec-websocket-accept"))
		return false
	}
	return true
}

func (c *conn) frame(f *frame) {
	c.d.moves++
	switch f.opcode {
	case opText:
		// In the driver, since whatever goes to a scenario escapes.
		m := &c.d.message
		var ok bool
		if *m, ok = parseMessage(f.payload); !ok {
			c.d.tally.fault(faultProtocol, "not a message: %.80q", f.payload)
			return
		}
		if m.strange != "" {
			c.d.tally.fault(faultProtocol, "%s: %.80q", m.strange, f.payload)
		}
		if !m.answered && !m.unavailable && m.data == nil {
			return
		}
		if m.id != 0 && c.isJoining() {
			c.d.tally.fault(faultProtocol, "an id in a message to a Joining: %.80q", f.payload)
		}
		c.d.scenario.got(c, m)
	case opPing:
		c.control(opPong, f.payload)
	case opPong:
	case opClose:
		c.closeFrame(f.payload)
	default:
		c.fail(faultProtocol, "a frame of opcode %#x", f.opcode)
	}
}

func (c *conn) closeFrame(payload []byte) {
	if c.state == closing {
		c.farewell = true // and the end of the stream comes next
		return
	}
	if len(payload) < 2 {
		c.fail(faultClosed, "by the server, without a code")
		return
	}
	reason := payload[2:]
	if len(reason) == 0 {
		reason = []byte("no reason")
	}
	c.fail(faultClosed, "%d %s", binary.BigEndian.Uint16(payload), reason)
}

// send queues bytes as they are.
func (c *conn) send(b []byte) {
	c.begin()
	c.out = append(c.out, b...)
}

// begin readies out for something to be appended, to be written when the turn
// is over.
func (c *conn) begin() {
	if c.out == nil {
		c.out = c.d.takeBuffer()
	}
	if !c.queued {
		c.queued = true
		c.d.dirty = append(c.d.dirty, c)
	}
}

// control sends a control frame, unless the connection is on its way out.
func (c *conn) control(opcode byte, payload []byte) {
	if c.state >= closing {
		return
	}
	start := c.beginFrame()
	c.out = append(c.out, payload...)
	c.endFrame(start, opcode)
}

// beginFrame and endFrame enclose appending a payload to out.
func (c *conn) beginFrame() (start int) {
	c.begin()
	start = len(c.out)
	c.out = beginFrame(c.out)
	return start
}

func (c *conn) endFrame(start int, opcode byte) {
	c.out = endFrame(c.out, start, opcode, c.mask)
}

// openKey and joinKey send the message of that name.
func (c *conn) openKey(key []byte) { c.sendKey(`{"open":"`, key) }
func (c *conn) joinKey(key []byte) { c.sendKey(`{"join":"`, key) }

func (c *conn) sendKey(before string, key []byte) {
	start := c.beginFrame()
	c.out = append(c.out, before...)
	c.out = append(c.out, key...)
	c.out = append(c.out, `"}`...)
	c.endFrame(start, opText)
	c.expect("the answer to open or join")
}

// sendData sends the next message of the pair in that direction.
func (c *conn) sendData(p *pair, way direction, f *filler) {
	l := p.ledger(way)
	start := c.beginFrame()
	if way == toJoining {
		c.out = append(c.out, `{"id":`...)
		c.out = strconv.AppendUint(c.out, uint64(p.id), 10)
		c.out = append(c.out, `,"data":`...)
	} else {
		c.out = append(c.out, `{"data":`...)
	}
	c.out = appendData(c.out, p.number, way, l.send(c.d.now), f)
	c.out = append(c.out, '}')
	c.endFrame(start, opText)
	c.d.tally.sent++
	if c.d.plan.Trickle {
		c.flush()
	}
}

// close asks the server to end the connection; gone follows.
func (c *conn) close() {
	if c.state >= closing {
		return
	}
	if c.state < open {
		c.leave(true)
		return
	}
	c.control(opClose, []byte{1000 >> 8, 1000 & 0xff})
	c.state = closing
	c.expect("closing")
}

// flush writes what is queued.
func (c *conn) flush() {
	if c.fd < 0 || len(c.out) == 0 && !c.blocked {
		return
	}
	all, err := c.write()
	if err != nil {
		c.ended(err)
		return
	}
	c.watchWritable(!all)
}

// write gives the socket what it takes. all says that it took everything.
func (c *conn) write() (all bool, err error) {
	if c.tunnel != nil {
		all, err = c.tunnel.write(c.out)
		c.sentAll()
		return all, err
	}
	n, err := poller.Write(c.fd, c.out[c.written:])
	if err != nil && !errors.Is(err, poller.ErrAgain) {
		return false, err
	}
	if c.written += n; c.written < len(c.out) {
		return false, nil
	}
	c.sentAll()
	return true, nil
}

func (c *conn) sentAll() {
	c.d.giveBuffer(c.out)
	c.out, c.written = nil, 0
	if c.state == connecting {
		c.state = shaking
	}
}

func (c *conn) watchWritable(on bool) {
	if c.blocked == on {
		return
	}
	c.blocked = on
	events := poller.Readable
	if on {
		events |= poller.Writable
	}
	if err := c.d.loop.Watch(c.fd, events); err != nil {
		c.fail(faultConnect, "%v", err)
	}
}

// fail counts an error and ends the connection.
func (c *conn) fail(kind, format string, args ...any) {
	if c.state == closed {
		return
	}
	c.d.tally.fault(kind, format, args...)
	c.leave(false)
}

// leave ends the connection and tells the scenario.
func (c *conn) leave(clean bool) {
	c.drop()
	if c.d.scenario != nil {
		c.d.scenario.gone(c, clean)
	}
}

// drop ends the connection without a word to anybody.
func (c *conn) drop() {
	if c.state == closed {
		return
	}
	d := c.d
	d.moves++
	c.state = closed
	if c.tunnel != nil {
		c.tunnel.close()
	}
	if c.fd >= 0 {
		// Both fail for numbers only that are not ours, and this one is.
		_ = d.loop.Remove(c.fd)
		_ = poller.CloseFD(c.fd)
		c.fd = -1
	}
	last := d.conns[len(d.conns)-1]
	d.conns[c.index], last.index = last, c.index
	d.conns[len(d.conns)-1] = nil
	d.conns = d.conns[:len(d.conns)-1]
	d.giveBuffer(c.in)
	d.giveBuffer(c.out)
	c.in, c.out = nil, nil
}
