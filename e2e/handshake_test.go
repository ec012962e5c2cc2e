package e2e

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBadHandshakesAreRefusedWithAReason(t *testing.T) {
	s := start(t)
	without := func(header string) string {
		before, rest, _ := strings.Cut(upgradeRequest, header+":")
		_, after, _ := strings.Cut(rest, "\r\n")
		return before + after
	}
	cases := []struct {
		name    string
		request string
		status  int
		header  string // that the answer must have
		value   string
		body    string
	}{
		{
			name:    "POST",
			request: strings.Replace(upgradeRequest, "GET", "POST", 1),
			status:  405,
			header:  "Allow",
			value:   "GET",
			body:    "GET",
		},
		{
			name:    "another version",
			request: strings.Replace(upgradeRequest, ": 13", ": 8", 1),
			status:  426,
			header:  "Sec-Websocket-Version",
			value:   "13",
			body:    "13",
		},
		{
			name:    "no version",
			request: without("Sec-WebSocket-Version"),
			status:  400,
			body:    "Sec-WebSocket-Version",
		},
		{
			name:    "no key",
			request: without("Sec-WebSocket-Key"),
			status:  400,
			body:    "Sec-WebSocket-Key",
		},
		{
			name:    "a key that is not base64",
			request: strings.Replace(upgradeRequest, "dGhl", "!!!!", 1),
			status:  400,
			body:    "Sec-WebSocket-Key",
		},
		{
			name:    "no host",
			request: without("Host"),
			status:  400,
			body:    "Host",
		},
		{
			name:    "no connection header",
			request: without("Connection"),
			status:  400,
			body:    "Connection",
		},
		{
			name:    "HTTP/1.0",
			request: strings.Replace(upgradeRequest, "HTTP/1.1", "HTTP/1.0", 1),
			status:  505,
			body:    "HTTP",
		},
		{
			name:    "the beginning of TLS",
			request: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
			status:  400,
			body:    "ws://",
		},
		{
			name:    "a header over 8 KiB",
			request: "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 9000),
			status:  431,
			body:    "8 KiB",
		},
		{
			name:    "thousands of header lines",
			request: "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 2000),
			status:  431,
			body:    "8 KiB",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := dialRaw(t, s)
			r.write(c.request)
			resp, err := http.ReadResponse(bufio.NewReader(r.conn), nil)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, c.status, resp.StatusCode, "%s", body)
			require.Contains(t, string(body), c.body)
			require.True(t, resp.Close)
			if c.header != "" {
				require.Equal(t, c.value, resp.Header.Get(c.header))
			}
		})
	}
	exchange(t, s, "after all that")
}

func TestHalfAHeaderGetsATimeoutAndDelaysNobody(t *testing.T) {
	s := start(t, "--handshake-timeout", "3s")
	slow, silent := dialRaw(t, s), dialRaw(t, s)
	slow.write(upgradeRequest[:40])
	exchange(t, s, "meanwhile")
	for _, r := range []*raw{slow, silent} {
		resp, err := http.ReadResponse(r.in, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
}

func TestAHeaderByteByByte(t *testing.T) {
	s := start(t)
	r := dialRaw(t, s)
	for i := range upgradeRequest {
		r.write(upgradeRequest[i : i+1])
	}
	require.Contains(t, r.header(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
	for _, b := range []byte(masked(0x81, `{"open":"byte by byte"}`)) {
		r.write(string([]byte{b}))
	}
	_, payload := r.frame()
	require.Equal(t, `{"isKeyOk":true}`, string(payload))
}

func TestHandshakeAndMessagesInOnePacket(t *testing.T) {
	s := start(t)
	r := dialRaw(t, s)
	r.write(upgradeRequest + masked(0x01, `{"op`) + masked(0x89, "hey") + masked(0x80, `en":"one packet"}`) + masked(0x88, "\x03\xe8"))
	r.header()
	first, payload := r.frame()
	require.Equal(t, byte(0x8a), first)
	require.Equal(t, "hey", string(payload))
	_, payload = r.frame()
	require.Equal(t, `{"isKeyOk":true}`, string(payload))
	r.wantClose(1000, "")
}

func TestServerDoesNotWaitForEverForTheClientsClose(t *testing.T) {
	s := start(t)
	r := upgradeRaw(t, s)
	files := s.files()
	r.write(masked(0x81, "nonsense"))
	r.wantClose(4000, "MESSAGE_ERROR")
	begun := time.Now()
	eventually(t, func() bool { return s.files() < files }, "the descriptor is still open")
	require.Greater(t, time.Since(begun), time.Second, "the client had no time to answer")
}
