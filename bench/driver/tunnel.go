//go:build linux

package driver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"sigver/poller"
)

// tunnel is the TLS of a wss connection. A goroutine does the handshake, since
// crypto/tls wants to wait for its bytes. Then the loop has the connection, as
// it has any other.
type tunnel struct {
	c      *conn
	tls    *tls.Conn
	line   line
	giveUp context.CancelFunc // ends the handshake
}

// dig begins a tunnel over fd, a socket that is connected or being connected.
// What becomes of it, c is told in a turn of the loop.
func dig(c *conn, fd int) *tunnel {
	t := &tunnel{c: c, line: line{fd: -1}}
	t.tls = tls.Client(&t.line, c.d.dialer.secure)
	var ctx context.Context
	ctx, t.giveUp = context.WithTimeout(context.Background(), c.d.plan.Timeout)
	go func() {
		defer t.giveUp()
		fd, err := t.shakeHands(ctx, fd)
		d := c.d
		d.loop.Post(func() {
			d.beginTurn()
			t.dug(fd, err)
			d.endTurn()
		})
	}()
	return t
}

func (t *tunnel) shakeHands(ctx context.Context, fd int) (int, error) {
	socket, err := poller.ToNet(fd)
	if err != nil {
		return -1, err
	}
	t.line.Conn = socket
	if err := t.tls.HandshakeContext(ctx); err != nil {
		_ = socket.Close()
		return -1, err
	}
	t.line.Conn = nil
	return poller.FromNet(socket)
}

// dug gives the loop the connection.
func (t *tunnel) dug(fd int, err error) {
	c := t.c
	if err == nil && c.state == closed {
		_ = poller.CloseFD(fd)
		return
	}
	if err == nil {
		err = c.watch(fd)
	}
	if err != nil {
		c.fail(faultConnect, "%v", err)
		return
	}
	t.line.fd = fd
	c.flush()
}

// read is poller.Read of what was decrypted.
func (t *tunnel) read(p []byte) (int, error) {
	n, err := t.tls.Read(p)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, notYet{}):
		return 0, poller.ErrAgain
	case errors.Is(err, io.EOF):
		return 0, nil
	}
	return 0, err
}

// write encrypts b and gives the socket what it takes, of that and of what was
// left over before. all says that it took everything.
func (t *tunnel) write(b []byte) (all bool, err error) {
	if len(b) > 0 {
		if _, err := t.tls.Write(b); err != nil {
			return false, err
		}
	}
	return t.line.flush()
}

// close says that nothing follows, if the socket has room for that.
func (t *tunnel) close() {
	t.giveUp()
	if t.line.fd >= 0 {
		_ = t.tls.CloseWrite()
		_, _ = t.line.flush()
	}
}

// line is what a tls.Conn takes for the network: a socket for the handshake, and
// then a descriptor of the loop, which never waits.
type line struct {
	net.Conn // the handshake's; nil afterwards
	fd       int
	sealed   []byte // encrypted
	written  int    // of sealed
}

// Read says that there is nothing yet in the way that a tls.Conn does not
// remember as a failure.
func (l *line) Read(p []byte) (int, error) {
	if l.Conn != nil {
		return l.Conn.Read(p)
	}
	n, err := poller.Read(l.fd, p)
	switch {
	case errors.Is(err, poller.ErrAgain):
		return 0, notYet{}
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return n, err
}

// Write takes everything, because a tls.Conn would remember anything else.
func (l *line) Write(p []byte) (int, error) {
	if l.Conn != nil {
		return l.Conn.Write(p)
	}
	l.sealed = append(l.sealed, p...)
	return len(p), nil
}

// SetWriteDeadline does nothing where nobody waits.
func (l *line) SetWriteDeadline(t time.Time) error {
	if l.Conn != nil {
		return l.Conn.SetWriteDeadline(t)
	}
	return nil
}

func (l *line) flush() (all bool, err error) {
	if l.written < len(l.sealed) {
		n, err := poller.Write(l.fd, l.sealed[l.written:])
		if err != nil && !errors.Is(err, poller.ErrAgain) {
			return false, err
		}
		l.written += n
	}
	if l.written < len(l.sealed) {
		return false, nil
	}
	l.sealed, l.written = nil, 0
	return true, nil
}

// notYet is the error of a read that would wait: a timeout, and temporary.
type notYet struct{}

func (notYet) Error() string   { return os.ErrDeadlineExceeded.Error() }
func (notYet) Timeout() bool   { return true }
func (notYet) Temporary() bool { return true }

var _ net.Error = notYet{}
