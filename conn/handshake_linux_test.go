package conn_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/conn"
	"sigver/poller"
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
		{"a header line without a colon", swap("Host: h", "Host h"), 400},
		{"a line end without a carriage return", swap("Host: h\r\n", "Host: h\n"), 400},
		{"a blank before the colon", swap("Sec-WebSocket-Key:", "Sec-WebSocket-Key :"), 400},
		{"a line that goes on", swap("Host: h\r\n", "Host: h\r\n goes on\r\n"), 400},
		{"a field name of no bytes", swap("Host: h", "Host: h\r\n: x"), 400},
		{"a control character in a field name", swap("Host: h", "Host: h\r\nX\x01: x"), 400},
		{"a letter beyond ASCII in a field name", swap("Host: h", "Host: h\r\nGrüße: x"), 400},
		{"a zero byte in a value", swap("Host: h", "Host: h\r\nX: a\x00b"), 400},
		{"a carriage return in a value", swap("Host: h", "Host: h\r\nX: a\rb"), 400},
		{"two hosts", swap("Host: h", "Host: h\r\nhOST: h"), 400},
		{"an empty line first", "\r\n" + request, 400},
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
				dripped := l.serve()
				defer dripped.hangUp()
				for i := range len(c.request) {
					dripped.send(c.request[i : i+1])
				}
				dripped.wantRefusal(t, c.status)
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

// What asks for no WebSocket is not for this package: all of it is handed over,
// however it arrives.
func TestVisits(t *testing.T) {
	l := newLoop(t, generous)
	for _, visit := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
		strings.Replace(request, "Upgrade: websocket\r\n", "", 1),
		strings.Replace(request, "websocket", "h2c", 1),
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\ntoken@{}\nGET / HTTP/1.1\r\n",
		"HELLO\r\n\r\n",
		"GET /\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
	} {
		l.do(func() {
			require.Equal(t, outcome{visit: visit + "<nil>"}, l.play(visit))
			for cut := range len(visit) {
				require.Equal(t, outcome{visit: visit + "<nil>"}, l.play(visit, cut), "%q cut at %d", visit, cut)
			}
			require.Zero(t, l.set.Len())
		})
	}
}

// A visitor waits, writes and has deadlines like any other net.Conn.
func TestAVisitorIsAConnection(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.serve()
		defer c.hangUp()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		require.NotNil(t, c.visitor)
		require.Zero(t, c.closed, "it is not closed, it is elsewhere")
		v := c.visitor
		defer v.Close()
		_, err := io.ReadFull(v, make([]byte, len("GET / HTTP/1.1\r\nHost: h\r\n\r\n")))
		require.NoError(t, err)
		require.NoError(t, v.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
		_, err = v.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = io.WriteString(v, "HTTP/1.1 204 No Content\r\n\r\n")
		require.NoError(t, err)
		buf := make([]byte, 100)
		n, err := poller.Read(c.fd, buf)
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 204 No Content\r\n\r\n", string(buf[:n]))
	})
}

func TestHandshakesThatAreAccepted(t *testing.T) { // RFC 6455 §4.2.1
	cases := []struct {
		name string
		from string
		to   string
	}{
		{"the usual", "", ""},
		{"Firefox's Connection", "Connection: Upgrade", "Connection: keep-alive, Upgrade"},
		{"other letters", "Upgrade: websocket\r\nConnection: Upgrade", "UPGRADE: WebSocket\r\nconnection: upgrade"},
		{"no blanks", ": ", ":"},
		{"blanks around a value", "Host: h", "Host: \t h \t "},
		{"an empty Host", "Host: h", "Host:"},
		{"a query", "/path", "/a/b?c=d&e=%20"},
		{"an absolute target", "/path", "http://h/path"},
		{"a later HTTP/1", "HTTP/1.1", "HTTP/1.2"},
		{"letters beyond ASCII in a value", "Host: h", "Host: h\r\nCookie: grüß=gott"},
		{"a colon in a value", "Host: h", "Host: h:8000\r\nOrigin: http://h:8000"},
		{"many fields", "Host: h", "Host: h" + strings.Repeat("\r\nX-Y: z", 800)},
	}
	l := newLoop(t, generous)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l.do(func() {
				client := l.serve()
				defer client.hangUp()
				swapped := request
				if c.from != "" {
					swapped = strings.ReplaceAll(request, c.from, c.to)
				}
				client.send(swapped + frame(text, "at once"))
				got, ended := client.receive()
				require.Equal(t, accepted, got)
				require.False(t, ended)
				require.Equal(t, 1, client.opened)
				require.Equal(t, []string{"at once"}, client.messages)
			})
		})
	}
}

// The limit is the header's: what is in the packet after it does not count.
func TestMessagesInThePacketOfTheHandshake(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.serve()
		defer c.hangUp()
		message := strings.Repeat("m", 2*conn.MaxHeader)
		c.send(request + frame(text, message) + frame(text, message))
		require.Equal(t, []string{message, message}, c.messages)
	})
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
