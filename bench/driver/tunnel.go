//go:build linux

package driver

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// tunnel is the transport of a wss connection: crypto/tls over a blocking
// socket, and so two goroutines and an allocation for each read. That makes a
// driver several times more expensive than over ws.
type tunnel struct {
	c *conn

	mu     sync.Mutex
	wake   sync.Cond
	conn   net.Conn // nil: not connected yet
	out    []byte
	closed bool
}

// dig begins a tunnel. What becomes of it, c is told in turns of the loop.
func dig(c *conn) *tunnel {
	t := &tunnel{c: c}
	t.wake.L = &t.mu
	target, config := c.d.dialer.target.String(), c.d.dialer.secure
	dialer := &net.Dialer{Timeout: c.d.plan.Timeout}
	if source, ok := c.d.dialer.source(); ok {
		dialer.LocalAddr = &net.TCPAddr{IP: source.AsSlice()}
	}
	go t.run(dialer, target, config)
	return t
}

func (t *tunnel) run(dialer *net.Dialer, target string, config *tls.Config) {
	conn, err := tls.DialWithDialer(dialer, "tcp", target, config)
	if err != nil {
		t.turn(func() { t.c.fail(faultConnect, "%v", err) })
		return
	}
	t.mu.Lock()
	t.conn = conn
	closed := t.closed
	t.mu.Unlock()
	if closed {
		_ = conn.Close()
		return
	}
	go t.writeAll()
	for {
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		if n > 0 {
			t.turn(func() { t.c.feed(b[:n]) })
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			t.turn(func() { t.c.ended(err) })
			return
		}
	}
}

// turn runs f on the loop, unless the connection has been given up.
func (t *tunnel) turn(f func()) {
	d := t.c.d
	d.loop.Post(func() {
		d.beginTurn()
		if t.c.state != closed {
			f()
		}
		d.endTurn()
	})
}

// write queues a copy of b.
func (t *tunnel) write(b []byte) {
	t.mu.Lock()
	t.out = append(t.out, b...)
	t.mu.Unlock()
	t.wake.Signal()
}

func (t *tunnel) writeAll() {
	var b []byte
	t.mu.Lock()
	for !t.closed {
		if len(t.out) == 0 {
			t.wake.Wait()
			continue
		}
		b, t.out = t.out, b[:0]
		t.mu.Unlock()
		// A failure is seen by the reader too.
		_, _ = t.conn.Write(b)
		t.mu.Lock()
	}
	t.mu.Unlock()
}

// close ends both goroutines. It does not wait: the end of a TLS stream is
// written, and that can take its time.
func (t *tunnel) close() {
	t.mu.Lock()
	t.closed = true
	conn := t.conn
	t.mu.Unlock()
	t.wake.Broadcast()
	if conn != nil {
		go func() {
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			_ = conn.Close()
		}()
	}
}
