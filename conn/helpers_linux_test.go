package conn_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"sigver/conn"
	"sigver/poller"
	"sigver/protocol"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	patience = 20 * time.Second
	request  = "GET /path HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// limits that no test hits unless it wants to.
var generous = conn.Limits{
	Message:   64 << 10,
	Unsent:    1 << 20,
	Handshake: time.Minute,
	Idle:      time.Minute,
}

// loop is a set of connections on a running loop.
type loop struct {
	t testing.TB
	*poller.Loop
	set    *conn.Set
	owners map[*conn.Conn]conn.Events // loop only
}

func newLoop(t testing.TB, limits conn.Limits) *loop {
	t.Helper()
	l := &loop{t: t, owners: make(map[*conn.Conn]conn.Events)}
	var err error
	l.Loop, err = poller.Open(func(err error) { t.Errorf("loop died: %v", err) })
	require.NoError(t, err)
	l.do(func() { l.set, err = conn.NewSet(l.Loop, &limits, l.owner, nil) })
	require.NoError(t, err)
	t.Cleanup(func() {
		l.do(l.set.Drop)
		require.NoError(t, l.Loop.Close())
	})
	return l
}

// owned notes who c's events are for. Loop only.
func (l *loop) owned(c *conn.Conn, events conn.Events) *conn.Conn {
	l.owners[c] = events
	return c
}

func (l *loop) owner(c *conn.Conn) conn.Events { return l.owners[c] }

// do runs f while the loop waits for it: as if on the loop, and without the loop
// getting in between. A failed requirement ends f's own goroutine, not the loop's.
func (l *loop) do(f func()) {
	l.t.Helper()
	done := make(chan struct{})
	l.Post(func() {
		ran := make(chan struct{})
		go func() {
			defer close(ran)
			f()
		}()
		<-ran
		close(done)
	})
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(l.t, "the loop hangs")
	}
}

// client is both ends of a connection: the one under test, whose events it
// records, and the descriptor of the other. All but fd is for the loop.
type client struct {
	conn.Conn
	fd       int
	near     int                // the connection's own descriptor
	refusal  *conn.Refusal      // what Opening answers
	handle   func([]byte) error // what Message does, besides recording
	messages []string
	visitor  *conn.Visitor
	proxied  []netip.Addr
	opened   int
	left     []protocol.CloseCode
	closed   int
}

func (c *client) Opening([]byte) *conn.Refusal {
	c.opened++
	return c.refusal
}

func (c *client) Message(text []byte) error {
	c.messages = append(c.messages, string(text))
	if c.handle != nil {
		return c.handle(text)
	}
	return nil
}

func (c *client) Proxied(addr netip.Addr) bool {
	c.proxied = append(c.proxied, addr)
	return c.refusal == nil
}

func (c *client) Visiting([]byte) *conn.Refusal   { return c.refusal }
func (c *client) Visit(v *conn.Visitor)           { c.visitor = v }
func (c *client) Leaving(code protocol.CloseCode) { c.left = append(c.left, code) }
func (c *client) Closed()                         { c.closed++ }

// serve connects a client. Loop only.
func (l *loop) serve() *client {
	c := l.pair()
	require.NoError(l.t, l.set.Serve(l.owned(&c.Conn, c), c.near))
	return c
}

// pair is a client whose connection nobody serves yet.
func (l *loop) pair() *client {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(l.t, err)
	return &client{fd: fds[1], near: fds[0]}
}

// send writes b from the client's side and lets the connection read it. Loop
// only; so are the others below.
func (c *client) send(b string) {
	for len(b) > 0 {
		n, err := poller.Write(c.fd, []byte(b))
		if err != nil && !errors.Is(err, poller.ErrAgain) {
			return // the connection has ended already
		}
		b = b[n:]
		for range 1 + n/conn.ReadSize { // as often as the socket has something
			c.Ready()
		}
	}
}

// receive flushes the connection and reads what the client has got, and whether
// the stream has ended.
func (c *client) receive() (got string, ended bool) {
	c.Flush()
	buf := make([]byte, 128<<10)
	for {
		n, err := poller.Read(c.fd, buf)
		switch {
		case errors.Is(err, poller.ErrAgain):
			return got, false
		case err != nil || n == 0:
			return got, true
		}
		got += string(buf[:n])
	}
}

// hangUp closes the client's side and lets the connection notice.
func (c *client) hangUp() {
	if c.fd >= 0 {
		_ = poller.CloseFD(c.fd)
		c.fd = -1
		c.Ready()
	}
}

// open is serve and a handshake.
func (l *loop) open() *client {
	c := l.serve()
	c.send(request)
	got, _ := c.receive()
	require.Equal(l.t, accepted, got)
	return c
}

// dial connects a client over TCP and lets it shake hands. The loop runs the
// connection by itself; what the client's record says is for l.do.
func (l *loop) dial(t testing.TB) (*client, *net.TCPConn) {
	t.Helper()
	listener, err := poller.Listen(netip.MustParseAddrPort("127.0.0.1:0"), false)
	require.NoError(t, err)
	defer poller.CloseFD(listener)
	addr, err := poller.LocalAddr(listener)
	require.NoError(t, err)
	dialed, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = dialed.Close() })
	c := &client{fd: -1}
	require.Eventually(t, func() bool { c.near, err = poller.Accept(listener); return err == nil }, patience, time.Millisecond)
	l.do(func() { require.NoError(t, l.set.Serve(l.owned(&c.Conn, c), c.near)) })
	_, err = io.WriteString(dialed, request)
	require.NoError(t, err)
	require.NoError(t, dialed.SetDeadline(time.Now().Add(patience)))
	_, err = io.ReadFull(dialed, make([]byte, len(accepted)))
	require.NoError(t, err)
	return c, dialed.(*net.TCPConn)
}

// until waits for something to become true on the loop.
func (l *loop) until(t testing.TB, become func() bool) {
	t.Helper()
	require.Eventually(t, func() (is bool) {
		l.do(func() { is = become() })
		return is
	}, patience, time.Millisecond)
}

// beyondTCP is more than the kernel takes for a TCP client that does not read.
const beyondTCP = 8 << 20

// fill sends until more than waiting bytes are left over by the socket. It
// returns what it sent, as the client is to get it. Loop only.
func (c *client) fill(waiting int) string {
	const chunk = 10 << 10
	var sent strings.Builder
	for i := 0; ; i++ {
		message := strings.Repeat(string(rune('a'+i%26)), chunk)
		c.Send([]byte(message))
		c.Flush()
		sent.WriteString(answer(text, message))
		if unsent, _ := c.Output(); unsent > waiting {
			return sent.String()
		}
	}
}

// watched is what the kernel watches fd for, besides failures.
func watched(t testing.TB, fd int) poller.Readiness {
	t.Helper()
	sets, err := filepath.Glob("/proc/self/fdinfo/*")
	require.NoError(t, err)
	for _, set := range sets {
		info, err := os.ReadFile(set)
		if err != nil {
			continue // the descriptor that read the folder
		}
		for line := range strings.Lines(string(info)) {
			var target int
			var events uint32
			if _, err := fmt.Sscanf(line, "tfd: %d events: %x", &target, &events); err == nil && target == fd {
				return poller.Readiness(events) &^ poller.Failed
			}
		}
	}
	return 0 // it is not watched
}

// frame is one client's frame: the first byte as it is, the payload masked.
func frame(first byte, payload string) string {
	n := len(payload)
	b := []byte{first}
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, mask[:]...)
	for i := range n {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

const (
	text         = 0x81
	textBegins   = 0x01
	continues    = 0x00
	continueEnds = 0x80
	binaryFrame  = 0x82
	closes       = 0x88
	ping         = 0x89
	pong         = 0x8a
)

// answer is one server's frame.
func answer(first byte, payload string) string {
	n := len(payload)
	switch {
	case n < 126:
		return string([]byte{first, byte(n)}) + payload
	case n <= 0xffff:
		return string(binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(n))) + payload
	}
	return string(binary.BigEndian.AppendUint64([]byte{first, 127}, uint64(n))) + payload
}

func closeBody(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

// wantClose reads the close frame that is next, requires its code, and returns
// its reason. Nothing but the end of the stream may follow.
func (c *client) wantClose(t testing.TB, code uint16) string {
	t.Helper()
	got, ended := c.receive()
	require.GreaterOrEqual(t, len(got), 4, "%q", got)
	require.Equal(t, byte(closes), got[0], "%q", got)
	require.Equal(t, len(got)-2, int(got[1]))
	require.Equal(t, code, binary.BigEndian.Uint16([]byte(got[2:])))
	require.True(t, ended, "the server's half must be shut")
	require.Equal(t, []protocol.CloseCode{protocol.CloseCode(code)}, c.left)
	return got[4:]
}

func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

// echo is a connection whose messages go to a peer and are not recorded, for
// what is measured.
type echo struct {
	conn.Conn
	fd int
	to *conn.Conn
}

func (e *echo) Proxied(netip.Addr) bool       { return true }
func (e *echo) Opening([]byte) *conn.Refusal  { return nil }
func (e *echo) Leaving(protocol.CloseCode)    {}
func (e *echo) Visiting([]byte) *conn.Refusal { return nil }
func (e *echo) Visit(*conn.Visitor)           {}
func (e *echo) Closed()                       {}

func (e *echo) Message(text []byte) error {
	e.to.Send(text)
	return nil
}

// echoes is a client that receives what another one sends. Loop only.
func (l *loop) echoes() (from, to *echo) {
	from, to = new(echo), new(echo)
	from.to, to.to = &to.Conn, &from.Conn
	for _, e := range []*echo{from, to} {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		require.NoError(l.t, err)
		e.fd = fds[1]
		require.NoError(l.t, l.set.Serve(l.owned(&e.Conn, e), fds[0]))
		e.pass([]byte(request))
		e.drain(make([]byte, 4096))
	}
	return from, to
}

// pass lets the connection read b.
func (e *echo) pass(b []byte) {
	if n, err := poller.Write(e.fd, b); err != nil || n < len(b) {
		panic("the socket is full")
	}
	e.Ready()
}

// drain flushes the connection and throws away what its client gets.
func (e *echo) drain(buf []byte) {
	e.Flush()
	if _, err := poller.Read(e.fd, buf); err != nil {
		panic("nothing has arrived")
	}
}

func (e *echo) end() {
	_ = poller.CloseFD(e.fd)
	e.Ready()
}
