package server_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sigver/server"
)

// wire is a client that is only a blocking descriptor, so that what is measured
// is the server: it allocates nothing and has no goroutine.
type wire struct {
	t   testing.TB
	fd  int
	buf []byte
}

const upgradeRequest = "GET / HTTP/1.1\r\nHost: sigver.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func dialWire(t testing.TB, s *server.Server) *wire {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}))
	require.NoError(t, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	require.NoError(t, unix.Connect(fd, &unix.SockaddrInet4{Port: int(s.Addr().Port()), Addr: s.Addr().Addr().As4()}))
	w := &wire{t: t, fd: fd, buf: make([]byte, 512)}
	w.write([]byte(upgradeRequest))
	n, err := unix.Read(fd, w.buf)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(w.buf[:n], []byte("\r\n\r\n")), "%s", w.buf[:n])
	return w
}

// frame is text in a frame, masked with zeros.
func frame(text string) []byte {
	n := len(text)
	if n < 126 {
		return append([]byte{0x81, 0x80 | byte(n), 0, 0, 0, 0}, text...)
	}
	return append([]byte{0x81, 0x80 | 126, byte(n >> 8), byte(n), 0, 0, 0, 0}, text...)
}

func (w *wire) write(b []byte) {
	if n, err := unix.Write(w.fd, b); err != nil || n < len(b) {
		w.t.Fatalf("wrote %d of %d: %v", n, len(b), err)
	}
}

// read takes exactly n bytes.
func (w *wire) read(n int) []byte {
	if n > len(w.buf) {
		w.buf = make([]byte, n)
	}
	for got := 0; got < n; {
		m, err := unix.Read(w.fd, w.buf[got:n])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if m == 0 && err == nil {
			err = io.EOF
		}
		if err != nil {
			w.t.Fatalf("read %d of %d: %v", got, n, err)
		}
		got += m
	}
	return w.buf[:n]
}

// message reads one message of less than 126 bytes.
func (w *wire) message() string {
	head := w.read(2)
	return string(w.read(int(head[1])))
}

func (w *wire) do(text string) {
	w.t.Helper()
	w.write(frame(text))
	require.Equal(w.t, `{"isKeyOk":true}`, w.message())
}

// wires is a pair that have found each other, and the id between them.
func wires(t testing.TB, s *server.Server, key string) (opener, joining *wire, id int) {
	t.Helper()
	opener = dialWire(t, s)
	opener.do(`{"open":"` + key + `"}`)
	joining, id = joinWire(t, s, opener, key)
	return opener, joining, id
}

// joinWire joins the key of opener.
func joinWire(t testing.TB, s *server.Server, opener *wire, key string) (joining *wire, id int) {
	t.Helper()
	joining = dialWire(t, s)
	joining.do(`{"join":"` + key + `"}`)
	joining.write(frame(`{"data":1}`))
	_, err := fmt.Sscanf(opener.message(), `{"id":%d,`, &id)
	require.NoError(t, err)
	return joining, id
}
