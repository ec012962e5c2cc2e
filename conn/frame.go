package conn

import (
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"sigver/protocol"
)

const tooManyMessages = "too many messages in too little time"

// frame deals with the first frame of b and returns how many bytes it covers,
// or 0 when more must arrive. What is wrong in a frame's header is refused
// before its payload is waited for.
func (c *Conn) frame(b []byte) int {
	h, size, err := c.set.frameHeader(b)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return 0
	default:
		c.fail(protocol.ProtocolError, "a frame's length has its highest bit set")
		return 0
	}
	if !c.accept(h, b) {
		return 0
	}
	if int64(len(b)-size) < h.Length {
		return 0
	}
	if !c.spend() {
		c.fail(protocol.RateLimited, tooManyMessages)
		return 0
	}
	whole := size + int(h.Length)
	c.set.more = len(b) > whole
	payload := b[size:whole]
	ws.Cipher(payload, h.Mask, 0)
	if h.OpCode.IsControl() {
		c.control(h.OpCode, payload)
	} else {
		c.data(h, payload)
	}
	return whole
}

// accept checks a frame's header against RFC 6455 §5 and the size limit. If it
// is false, the connection is closing.
func (c *Conn) accept(h ws.Header, b []byte) bool {
	side := ws.StateServerSide
	var before int
	if c.in != nil && c.in.partial {
		side = side.Set(ws.StateFragmented)
		before = len(c.in.message)
	}
	if err := ws.CheckHeader(h, side); err != nil {
		c.fail(protocol.ProtocolError, err.Error())
		return false
	}
	switch {
	case !minimalLength(b[1]&0x7f, h.Length):
		c.fail(protocol.ProtocolError, "a frame's length is not in its shortest form")
	case h.OpCode == ws.OpBinary:
		c.fail(protocol.UnsupportedData, "binary messages are not understood, send text")
	case !h.OpCode.IsControl() && h.Length > int64(c.set.limits.Message-before):
		c.fail(protocol.MessageTooBig, "the message is over the size limit")
	default:
		return true
	}
	return false
}

// minimalLength reports whether length had to be written in the form that the
// first length field names (RFC 6455 §5.2).
func minimalLength(form byte, length int64) bool {
	switch form {
	case 126:
		return length > 125
	case 127:
		return length > 0xffff
	}
	return true
}

// data deals with a text frame or a continuation (RFC 6455 §5.4, §5.6).
func (c *Conn) data(h ws.Header, payload []byte) {
	if h.Fin && h.OpCode == ws.OpText {
		c.message(payload)
		return
	}
	in := c.input()
	in.begin(c.set.now)
	in.partial = true
	in.message = append(in.message, payload...)
	if h.Fin {
		c.message(in.message)
		in.partial = false
		in.message = in.message[:0]
	}
}

func (c *Conn) message(text []byte) {
	if c.in != nil {
		c.in.begun = c.set.now
	}
	c.set.stats.Received++
	c.set.stats.ReceivedBytes += uint64(len(text))
	if !utf8.Valid(text) {
		c.fail(protocol.InvalidPayload, "the text is not valid UTF-8")
		return
	}
	if err := c.events().Message(text); err != nil {
		c.failFor(err)
	}
}

// failFor closes the connection because its owner could not handle a message. It
// is not part of message, where known would be allocated for each good one too.
func (c *Conn) failFor(err error) {
	var known *protocol.Error
	if errors.As(err, &known) {
		c.fail(known.Code, known.Detail)
		return
	}
	c.fail(protocol.MessageError, "the message could not be handled")
}

// control deals with a control frame (RFC 6455 §5.5).
func (c *Conn) control(op ws.OpCode, payload []byte) {
	switch op {
	case ws.OpPing:
		c.send(ws.OpPong, payload)
	case ws.OpClose:
		c.closeFrame(payload)
	}
	// A pong says only that its sender lives, and read has noted that.
}

// closeFrame answers the client's close with its own code, and ends (RFC 6455
// §5.5.1, §7.4).
func (c *Conn) closeFrame(payload []byte) {
	code := protocol.CloseCode(ws.StatusNoStatusRcvd)
	if len(payload) > 0 {
		if len(payload) < 2 {
			c.fail(protocol.ProtocolError, "a close frame of one byte")
			return
		}
		code = protocol.CloseCode(binary.BigEndian.Uint16(payload))
		if !sendable(code) {
			c.fail(protocol.ProtocolError, "a close code that may not be sent")
			return
		}
		if !utf8.Valid(payload[2:]) {
			c.fail(protocol.ProtocolError, "a close reason that is not valid UTF-8")
			return
		}
		payload = payload[:2]
	}
	c.peerClosed = true
	c.closeWith(code, payload)
	c.leave()
}

// sendable reports whether an endpoint may put code into a close frame: those
// of RFC 6455 §7.4.1 and of its IANA registry, and all from 3000 to 4999.
func sendable(code protocol.CloseCode) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}
