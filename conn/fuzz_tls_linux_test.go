package conn_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/conn"
)

// FuzzHello sends any bytes to a connection that speaks TLS, in two pieces, and
// then no more. Whatever they are, what comes back is TLS or a readable refusal,
// and nothing is left of the connection.
func FuzzHello(f *testing.F) {
	l := newSecureLoop(f, generous)
	hello := clientHello(f, l.client)
	f.Add(hello, uint16(100))
	f.Add(hello[:50], uint16(3))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), uint16(1))
	f.Add([]byte("\x16\x03\x01\x00\x00"), uint16(2))
	f.Add([]byte("\x16\x03\x01\xff\xff"), uint16(5))
	f.Add([]byte("\x80\x2e\x01\x03\x01"), uint16(5)) // as SSL 2.0 said hello
	f.Fuzz(func(t *testing.T, stream []byte, place uint16) {
		if len(stream) > 32<<10 {
			return
		}
		l.t = t
		defer func() { l.t = f }()
		_, socket := l.connect(t)
		cut := int(place) % (len(stream) + 1)
		for _, piece := range [][]byte{stream[:cut], stream[cut:]} {
			if _, err := socket.Write(piece); err != nil {
				break // it has had enough
			}
		}
		_ = socket.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(socket)
		if err == nil && len(answer) > 0 {
			if answer[0] == 'H' {
				resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			} else {
				require.Contains(t, []byte{21, 22}, answer[0], "an alert or a handshake")
			}
		}
		l.until(t, func() bool { return l.set.Len() == 0 })
	})
}

// FuzzHalved cuts any first record: the same bytes of the same type, in records
// of half the size.
func FuzzHalved(f *testing.F) {
	f.Add(clientHello(f, &tls.Config{ServerName: "localhost"}))
	f.Add([]byte("\x16\x03\x01\x00\x01x"))
	f.Add([]byte("\x16\x03\x01\x00\x03xyzmore"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 5 || len(b) < 5+int(binary.BigEndian.Uint16(b[3:])) {
			return // is not complete yet
		}
		length := int(binary.BigEndian.Uint16(b[3:]))
		before := bytes.Clone(b)
		all := bytes.Join(conn.Halved(b), nil)
		require.Equal(t, before, b)
		content := []byte{}
		for len(content) < length {
			require.Equal(t, b[:3], all[:3])
			n := int(binary.BigEndian.Uint16(all[3:]))
			require.LessOrEqual(t, n, (length+1)/2)
			content = append(content, all[5:5+n]...)
			all = all[5+n:]
		}
		if length == 0 {
			all = all[5:]
		}
		require.Equal(t, b[5:5+length], content)
		require.Equal(t, b[5+length:], all)
	})
}
