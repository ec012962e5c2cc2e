package conn_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"

	"sigver/conn"
)

// proxyHeader is what a proxy writes.
func proxyHeader(t testing.TB, version byte, from, to string) string {
	t.Helper()
	source, destination := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to))
	text, err := proxyproto.HeaderProxyFromAddrs(version, source, destination).Format()
	require.NoError(t, err)
	return string(text)
}

const localHeader = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

// proxiedClient is serve for a connection of a proxy. Loop only.
func (l *loop) proxiedClient() *client {
	c := l.pair()
	require.NoError(l.t, l.set.ServeProxied(l.owned(&c.Conn, c), c.near))
	return c
}

func TestTheHeaderOfAProxy(t *testing.T) {
	l := newLoop(t, generous)
	cases := []struct{ header, client string }{
		{proxyHeader(t, 1, "192.0.2.7:4711", "198.51.100.1:443"), "192.0.2.7"},
		{proxyHeader(t, 1, "[2001:db8::7]:4711", "[2001:db8::1]:443"), "2001:db8::7"},
		{proxyHeader(t, 2, "192.0.2.7:4711", "198.51.100.1:443"), "192.0.2.7"},
		{proxyHeader(t, 2, "[2001:db8::7]:4711", "[2001:db8::1]:443"), "2001:db8::7"},
		{localHeader, "invalid IP"},
		{"PROXY UNKNOWN\r\n", "invalid IP"},
	}
	for _, c := range cases {
		session := c.header + request
		for cut := range len(session) {
			l.do(func() {
				client := l.proxiedClient()
				defer client.hangUp()
				client.send(session[:cut])
				client.send(session[cut:])
				got, _ := client.receive()
				require.Equal(t, accepted, got, "%q cut at %d", c.header, cut)
				require.Len(t, client.proxied, 1)
				require.Equal(t, c.client, client.proxied[0].String())
			})
		}
	}
}

func TestWhatIsNoHeaderOfAProxyEndsTheConnection(t *testing.T) {
	l := newLoop(t, generous)
	for _, text := range []string{
		request,
		"\x16\x03\x01\x02\x00\x01",
		"PROXY TCP4 192.0.2.7\r\n",
		"PROXY TCP4 a b 1 2\r\n",
		"PROXY " + strings.Repeat("x", 120),
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04\x01\x02\x03\x04",
	} {
		l.do(func() {
			client := l.proxiedClient()
			defer client.hangUp()
			client.send(text)
			if client.closed == 0 {
				client.send(strings.Repeat("\x00", 20))
			}
			require.Equal(t, 1, client.closed, "%q", text)
			require.Zero(t, client.opened)
		})
	}
	l.do(func() {
		client := l.proxiedClient()
		defer client.hangUp()
		client.refusal = &conn.Refusal{}
		client.send(proxyHeader(t, 1, "192.0.2.7:4711", "198.51.100.1:443"))
		require.Equal(t, 1, client.closed, "the owner does not want it")
	})
}

// FuzzProxyHeader reads any beginning: whole and cut, the outcome is the same.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte(proxyHeader(f, 1, "192.0.2.7:4711", "198.51.100.1:443")+request), uint16(9))
	f.Add([]byte(proxyHeader(f, 2, "[2001:db8::7]:4711", "[2001:db8::1]:443")+request), uint16(20))
	f.Add([]byte(localHeader), uint16(3))
	f.Add([]byte("PROXY UNKNOWN\r\n"), uint16(5))
	l := newLoop(f, generous)
	f.Fuzz(func(t *testing.T, stream []byte, place uint16) {
		if len(stream) > 10<<10 {
			return
		}
		l.t = t
		defer func() { l.t = f }()
		cut := int(place) % (len(stream) + 1)
		l.do(func() {
			var outcomes []any
			for _, pieces := range [][]string{{string(stream)}, {string(stream[:cut]), string(stream[cut:])}} {
				c := l.proxiedClient()
				for _, piece := range pieces {
					if c.closed == 0 {
						c.send(piece)
					}
				}
				var got string
				if c.closed == 0 {
					got, _ = c.receive()
				}
				outcomes = append(outcomes, []any{c.proxied, c.opened, c.closed, got})
				require.LessOrEqual(t, len(c.proxied), 1)
				if c.opened > 0 {
					require.Len(t, c.proxied, 1, "nothing is served without a header")
				}
				c.hangUp()
			}
			require.Equal(t, outcomes[0], outcomes[1])
		})
	})
}
