package conn_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/conn"
)

// wantRefusal reads an HTTP answer that ends the connection.
func (c *client) wantRefusal(t testing.TB, status int) *http.Response {
	t.Helper()
	got, ended := c.receive()
	require.True(t, ended)
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
	require.NoError(t, err, "%q", got)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, status, resp.StatusCode, "%s", body)
	require.NotEmpty(t, body)
	require.True(t, resp.Close)
	require.Empty(t, c.left, "it was never open")
	return resp
}

func TestHandshakeRefusals(t *testing.T) { // RFC 6455 §4.2
	swap := func(from, to string) string {
		swapped := strings.Replace(request, from, to, 1)
		require.NotEqual(t, request, swapped)
		return swapped
	}
	cases := []struct {
		name    string
		request string
		status  int
	}{
		{"no request line", "HELLO\r\n\r\n", 400},
		{"a header line without a colon", swap("Host: h", "Host h"), 400},
		{"a line end without a carriage return", swap("Host: h\r\n", "Host: h\n"), 400},
		{"a blank before the colon", swap("Sec-WebSocket-Key:", "Sec-WebSocket-Key :"), 400},
		{"a line that goes on", swap("Host: h\r\n", "Host: h\r\n goes on\r\n"), 400},
		{"no Host", swap("Host: h\r\n", ""), 400},
		{"no Connection", swap("Connection: Upgrade\r\n", ""), 400},
		{"Connection without upgrade", swap("Connection: Upgrade", "Connection: close"), 400},
		{"no key", swap("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400},
		{"a short key", swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), 400},
		{"a key that is not base64", swap("dGhl", "!!!!"), 400},
		{"a key of 18 bytes", swap("ZQ==", "ZZZZ"), 400},
		{"two keys", swap("Host: h", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: h"), 400},
		{"no version", swap("Sec-WebSocket-Version: 13\r\n", ""), 400},
		{"POST", swap("GET", "POST"), 405},
		{"version 8", swap(": 13", ": 8"), 426},
		{"no Upgrade", swap("Upgrade: websocket\r\n", ""), 426},
		{"another Upgrade", swap("websocket", "h2c"), 426},
		{"a browser's visit", "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", 426},
		{"HTTP/1.0", swap("HTTP/1.1", "HTTP/1.0"), 505},
		{"HTTP/2.0", swap("HTTP/1.1", "HTTP/2.0"), 505},
		{"TLS", "\x16\x03\x01\x00\xa5\x01", 400},
		{"a line that does not end", "GET /" + strings.Repeat("x", conn.MaxHeader), 431},
		{"too many lines", "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", conn.MaxHeader/6), 431},
		{"too large and complete", swap("Host: h", "Host: "+strings.Repeat("h", conn.MaxHeader)), 431},
	}
	l := newLoop(t, generous)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l.do(func() {
				client := l.serve()
				defer client.hangUp()
				client.send(c.request)
				resp := client.wantRefusal(t, c.status)
				switch c.status {
				case http.StatusMethodNotAllowed:
					require.Equal(t, "GET", resp.Header.Get("Allow"))
				case http.StatusUpgradeRequired:
					require.Equal(t, "websocket", resp.Header.Get("Upgrade"))
					require.Equal(t, "13", resp.Header.Get("Sec-WebSocket-Version"))
				}
				require.Zero(t, client.opened)
			})
		})
	}
}

func TestTheLargestHeaderIsAccepted(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.serve()
		defer c.hangUp()
		padding := strings.Repeat("p", conn.MaxHeader-len(request)-len("P: \r\n"))
		c.send(strings.Replace(request, "Host", "P: "+padding+"\r\nHost", 1))
		got, _ := c.receive()
		require.Equal(t, accepted, got)
	})
}

func TestNothingIsNegotiated(t *testing.T) { // RFC 6455 §1.9, §9.1
	l := newLoop(t, generous)
	l.do(func() {
		c := l.serve()
		defer c.hangUp()
		c.send(strings.Replace(request, "Host", "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nHost", 1))
		got, _ := c.receive()
		require.Equal(t, accepted, got)
	})
}

func TestTheOwnerMayRefuse(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.serve()
		defer c.hangUp()
		c.refusal = &conn.Refusal{Status: 503, RetryAfter: 7, Detail: "full"}
		c.send(request + frame(text, "late"))
		require.Equal(t, "7", c.wantRefusal(t, 503).Header.Get("Retry-After"))
		require.Empty(t, c.messages)
	})
}
