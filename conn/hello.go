package conn

import (
	"net"
	"net/http"
	"slices"
	"time"

	"sigver/poller"
)

// A TLS handshake is done by a goroutine, since crypto/tls wants to wait for its
// bytes. A client gets one when its whole first record is there: who says
// nothing, or half of something, costs no more than any silent socket. Only
// maxHandshakes go on at a time; the others wait their turn, and the kernel
// keeps what they send.
const (
	maxHandshakes  = 256          // of one loop
	handshakeGrace = uint32(1000) // milliseconds that one has while others wait
	recordHeader   = 5            // type, version, length (RFC 8446 §5.1)
	maxHello       = 8 << 10      // that length at most, of the first record: hellos have some 2 KiB
	handshakeType  = 22           // that type, of the first record
)

var plainText = &Refusal{Status: http.StatusBadRequest, Reason: NoTLS, Detail: "this port speaks TLS: use https:// or wss://"}

// handshakeAway is a handshake that a goroutine does.
type handshakeAway struct {
	conn   *Conn
	socket net.Conn
	since  uint32 // of the set's clock
}

// hello looks at the beginning of a TLS connection, b.
func (c *Conn) hello(b []byte) {
	if b[0] >= 'A' && b[0] <= 'Z' {
		c.refuse(plainText)
		return
	}
	if b[0] != handshakeType {
		c.close()
		return
	}
	if len(b) < recordHeader {
		return
	}
	length := recordLength(b)
	switch {
	case length > maxHello:
		c.close()
	case len(b) >= recordHeader+length:
		c.queueHandshake()
	}
}

func (c *Conn) queueHandshake() {
	if err := c.set.loop.Watch(int(c.fd), 0); err != nil {
		c.close()
		return
	}
	c.state = stateQueued
	c.set.queued = append(c.set.queued, c)
}

// startHandshakes begins as many as may go on. If others have to wait, the
// oldest that is going on must be over soon.
func (s *Set) startHandshakes() {
	for len(s.queued) > 0 {
		if len(s.away) == maxHandshakes {
			if oldest := s.away[0]; s.now-oldest.since >= handshakeGrace {
				_ = oldest.socket.Close()
			}
			return
		}
		c := s.queued[0]
		s.queued = slices.Delete(s.queued, 0, 1)
		if c.state == stateQueued {
			c.shakeHands()
		}
	}
}

// shakeHands lends the socket to a goroutine that does the handshake and gives
// it back.
func (c *Conn) shakeHands() {
	s := c.set
	if s.passed(c.deadline) {
		c.close() // the sweep has not come by yet
		return
	}
	socket, err := poller.ToNet(c.detach())
	if err != nil {
		c.gone()
		return
	}
	c.state = stateAway
	s.away = append(s.away, handshakeAway{c, socket, s.now})
	_ = socket.SetDeadline(time.Now().Add(time.Duration(c.deadline-s.now) * time.Millisecond))

	sec := newSecure(s.TLS)
	sec.wire.lend(socket, halved(c.in.stream))
	c.in.stream, c.in.secure = nil, sec
	go func() {
		err := sec.tls.Handshake()
		fd := -1
		if err == nil {
			_ = socket.SetDeadline(time.Time{})
			fd, err = sec.wire.takeBack()
		} else {
			_ = socket.Close()
		}
		s.loop.Post(func() { c.secured(fd, err) })
	}()
}

// recordLength is what the header at the beginning of b says.
func recordLength(b []byte) int { return int(b[3])<<8 | int(b[4]) }

// halved returns b, in pieces to be read one by one, with its first TLS record cut
// into two. A handshake message may be spread over records (RFC 8446 §5.1), and
// tls.Conn keeps for its life a buffer as large as the largest record that it
// got, which is a client's first: so it is a kilobyte smaller.
func halved(b []byte) [][]byte {
	if recordLength(b) < 2 {
		return [][]byte{b}
	}
	end := recordHeader + recordLength(b)
	half := recordHeader + (end-recordHeader)/2
	first := appendRecord(nil, b, b[recordHeader:half])
	second := appendRecord(nil, b, b[half:end])
	pieces := [][]byte{first, second}
	if end < len(b) {
		pieces = append(pieces, b[end:])
	}
	return pieces
}

// appendRecord appends a record with the header of like, but for its length.
func appendRecord(out, like, content []byte) []byte {
	out = append(out, like[0], like[1], like[2], byte(len(content)>>8), byte(len(content)))
	return append(out, content...)
}

// secured goes on after a handshake.
func (c *Conn) secured(fd int, err error) {
	s := c.set
	s.away = slices.DeleteFunc(s.away, func(h handshakeAway) bool { return h.conn == c })
	s.startHandshakes()
	if err == nil && c.inputEnded {
		_ = poller.CloseFD(fd)
		err = net.ErrClosed
	}
	if err == nil {
		err = c.attach(fd)
	}
	if err != nil {
		c.gone()
		return
	}
	c.state = stateHandshake
	c.read() // the goroutine may have read further than the handshake
}

// abort ends a handshake that a goroutine does. secured follows.
func (c *Conn) abort() {
	c.inputEnded = true
	for _, h := range c.set.away {
		if h.conn == c {
			_ = h.socket.Close()
		}
	}
}
