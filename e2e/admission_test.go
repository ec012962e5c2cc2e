package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// came is how one request of a client ends.
type came struct {
	t    testing.TB
	conn net.Conn
}

// from connects from a local address, as another client of the internet would.
func from(t testing.TB, s *instance, ip string) came {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := dialer.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return came{t, conn}
}

// ask sends a request with further header fields, for a WebSocket or a stream,
// and returns the status of the answer, or 0 if the connection was just closed.
func (c came) ask(request string, fields ...string) int {
	c.t.Helper()
	head := strings.TrimSuffix(request, "\r\n") + strings.Join(append(fields, "", ""), "\r\n")
	_, _ = io.WriteString(c.conn, head) // what is wrong the answer says
	b := make([]byte, 4096)
	n, _ := c.conn.Read(b)
	var status int
	_, _ = fmt.Sscanf(string(b[:n]), "HTTP/1.1 %d", &status)
	return status
}

// openStreamFrom is openStream from a local address.
func openStreamFrom(t testing.TB, s *instance, ip string) *streamClient {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return openStreamBy(t, s, s, &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}})
}

const streamRequest = "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n"

func TestOrigin(t *testing.T) {
	s := start(t, "--origin", "https://a.example", "--origin", "https://*.b.example")
	for origin, allowed := range map[string]bool{
		"":                        true,
		"https://a.example":       true,
		"https://app.b.example":   true,
		"https://b.example":       false,
		"http://a.example":        false,
		"https://a.example.evil":  false,
		"https://evil/.b.example": false,
		"null":                    false,
	} {
		status := map[bool]int{true: 101, false: 403}[allowed]
		fields := []string{}
		if origin != "" {
			fields = append(fields, "Origin: "+origin)
		}
		require.Equal(t, status, from(t, s, "127.0.0.1").ask(upgradeRequest, fields...), origin)
		status = map[bool]int{true: 200, false: 403}[allowed]
		require.Equal(t, status, from(t, s, "127.0.0.1").ask(streamRequest, fields...), origin)
		require.Equal(t, map[bool]int{true: 401, false: 403}[allowed],
			from(t, s, "127.0.0.1").ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 24\r\n\r\n", append(fields, "", "AAAAAAAAAAAAAAAAAAAAAA@x")...), origin)
	}
	for _, accept := range []string{"text/event-stream", "text/html"} {
		req, err := http.NewRequest(http.MethodGet, s.httpURL(), nil)
		require.NoError(t, err)
		req.Header.Set("Origin", "https://app.b.example")
		req.Header.Set("Accept", accept)
		resp, err := httpClient(t).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, []string{"https://app.b.example"}, resp.Header.Values("Access-Control-Allow-Origin"))
		require.ElementsMatch(t, []string{"Origin", "Accept"}, resp.Header.Values("Vary"))
	}
	exchange(t, s, "after all that")
}

func TestConnectionsOfOneAddress(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := start(t, "--max-per-ip", "3")
		if secure {
			s = startTLS(t, "--max-per-ip", "3")
		}
		first := dialFrom(t, s, "127.0.0.2")
		dialFrom(t, s, "127.0.0.2")
		if secure {
			dialFrom(t, s, "127.0.0.2")
		} else {
			require.Equal(t, 200, from(t, s, "127.0.0.2").ask(streamRequest), "a stream counts too")
		}
		require.Zero(t, from(t, s, "127.0.0.2").ask(upgradeRequest))
		dialFrom(t, s, "127.0.0.3")
		exchange(t, s, "another address")
		first.drop()
		eventually(t, func() bool {
			return from(t, s, "127.0.0.2").ask("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") != 0 || secure
		}, "there is room again")
		for range 20 { // visits come and go
			if !secure {
				eventually(t, func() bool {
					return from(t, s, "127.0.0.2").ask("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") == 200
				}, "visits leave nothing")
			}
		}
		eventually(t, func() bool { return tryFrom(t, s, "127.0.0.2") }, "there is room again")
	}
}

func TestTheRateOfConnectionsOfOneAddress(t *testing.T) {
	s, admin := startAdmin(t, "--accept-rate", "1")
	for range 10 {
		require.Equal(t, 101, from(t, s, "127.0.0.2").ask(upgradeRequest))
	}
	refused := 0
	for range 5 {
		if from(t, s, "127.0.0.2").ask(upgradeRequest) == 0 {
			refused++
		}
	}
	require.GreaterOrEqual(t, refused, 3, "a slow machine may have earned one or two more")
	now := scrape(t, admin)
	require.Equal(t, float64(refused), now[`sigver_turned_away_total{reason="accept_rate"}`])
	require.Equal(t, 15.0, now["sigver_accepted_total"], "they are part of those")
	require.Equal(t, 101, from(t, s, "127.0.0.3").ask(upgradeRequest))
	eventually(t, func() bool { return from(t, s, "127.0.0.2").ask(upgradeRequest) == 101 }, "one a second")
}

// Whoever is refused is logged, by network unless the operator wants more.
func TestAddressesInTheLog(t *testing.T) {
	for args, logged := range map[string][]string{
		"":                {"198.51.100.0/24", "2001:db8:1:2::/64"},
		"--log-addresses": {"198.51.100.77", "2001:db8:1:2:3:4:5:6"},
	} {
		for i, addr := range []string{"198.51.100.77", "2001:db8:1:2:3:4:5:6"} {
			s := start(t, append(strings.Fields(args), "--log-level", "debug", "--max-per-ip", "2", "--trusted-proxy", "127.0.0.2")...)
			for range 3 {
				from(t, s, "127.0.0.2").ask(upgradeRequest, "X-Forwarded-For: "+addr)
			}
			exchange(t, s, "a key that nobody may read")
			eventually(t, func() bool { return strings.Contains(s.logged(), "address="+logged[i]+" ") }, "the line is logged")
			require.Contains(t, s.logged(), `because="too many connections from this address"`)
			require.NotContains(t, s.logged(), "nobody may read")
			if args == "" {
				require.NotContains(t, s.logged(), addr)
			}
		}
	}
}

func TestClientsBehindAProxy(t *testing.T) {
	s := start(t, "--max-per-ip", "1", "--trusted-proxy", "127.0.0.2,10.0.0.0/8")
	proxy := func(request string, fields ...string) int { return from(t, s, "127.0.0.2").ask(request, fields...) }
	require.Equal(t, 101, proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.1"))
	require.Equal(t, 101, proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.2"))
	require.Equal(t, 429, proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.2"))
	require.Equal(t, 429, proxy(upgradeRequest, "X-Forwarded-For: 203.0.113.1, 198.51.100.2, 10.1.2.3"), "what a client says of itself does not count")
	require.Equal(t, 429, proxy(streamRequest, `Forwarded: for="198.51.100.2:80"`))
	require.Equal(t, 200, proxy(streamRequest, "Forwarded: for=198.51.100.3"))
	require.Equal(t, 429, proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.3"))
	require.Equal(t, 101, proxy(upgradeRequest, "X-Forwarded-For: 2001:db8::1"))
	require.Equal(t, 429, proxy(upgradeRequest, "X-Forwarded-For: 2001:db8::2"), "the same /64")
	// Who is no proxy counts as itself, whatever it says.
	require.Equal(t, 101, from(t, s, "127.0.0.3").ask(upgradeRequest, "X-Forwarded-For: 198.51.100.9"))
	require.Zero(t, from(t, s, "127.0.0.3").ask(upgradeRequest, "X-Forwarded-For: 198.51.100.10"))

	leaves := from(t, s, "127.0.0.2")
	require.Equal(t, 101, leaves.ask(upgradeRequest, "X-Forwarded-For: 198.51.100.4"))
	require.NoError(t, leaves.conn.Close())
	eventually(t, func() bool { return proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.4") == 101 }, "its place is free again")
}

// Keys cannot be found by trying: who has joined too many that nobody has must
// wait, and nobody else.
func TestGuessingKeys(t *testing.T) {
	s := start(t, "--max-guesses", "5")
	opener := dial(t, s)
	opener.open("hard to guess")
	inside := dialFrom(t, s, "127.0.0.2")
	inside.join("hard to guess")
	for i := range 5 {
		guesser := dialFrom(t, s, "127.0.0.2")
		guesser.send(fmt.Sprintf(`{"join":"guess %d"}`, i))
		guesser.want(`{"isKeyOk":false}`)
		guesser.wantClose(4011, "KEY_UNKNOWN")
	}
	require.Equal(t, 429, from(t, s, "127.0.0.2").ask(upgradeRequest))
	require.Equal(t, 429, from(t, s, "127.0.0.2").ask(streamRequest))
	require.Equal(t, 101, from(t, s, "127.0.0.3").ask(upgradeRequest))
	inside.send(`{"data":1}`) // who has joined already is not disturbed
	opener.wantData("1")
	exchange(t, s, "another address")
}

// Connections that were there before have no more guesses than others: once there
// were too many, a join says nothing of its key, not even of one that there is.
func TestGuessingKeysOverConnectionsMadeBeforehand(t *testing.T) {
	const allowed, sockets = 5, 60
	for name, start := range map[string]func(testing.TB, ...string) *instance{"one server": start, "in a cluster": func(t testing.TB, args ...string) *instance {
		return startEngine(t).node(args...)
	}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "--max-guesses", strconv.Itoa(allowed), "--rate", "0")
			opener := dialFrom(t, s, "127.0.0.3")
			opener.open("right")
			opens := dialFrom(t, s, "127.0.0.2")
			right := dialFrom(t, s, "127.0.0.2")
			stream := openStreamFrom(t, s, "127.0.0.2")
			var guessers []*client
			for range sockets {
				guessers = append(guessers, dialFrom(t, s, "127.0.0.2"))
			}
			for i, guesser := range guessers { // all of them before any answer
				guesser.send(fmt.Sprintf(`{"join":"guess %d"}`, i))
			}
			unknown := 0
			for _, guesser := range guessers {
				guesser.want(`{"isKeyOk":false}`)
				_, err := guesser.read()
				switch websocket.CloseStatus(err) {
				case 4011:
					unknown++
				default:
					require.ErrorContains(t, err, "TRY_AGAIN_LATER: too many joins of unknown keys")
				}
			}
			require.GreaterOrEqual(t, unknown, allowed)
			require.Less(t, unknown, 2*allowed, "a slow machine may have earned a few more")
			right.send(`{"join":"right"}`)
			right.want(`{"isKeyOk":false}`)
			right.wantClose(1013, "TRY_AGAIN_LATER")
			stream.send(`{"join":"right"}`)
			require.JSONEq(t, `{"isKeyOk":false}`, stream.receive())
			stream.wantClose(1013, "TRY_AGAIN_LATER")
			opens.open("another") // which is no guess
			exchange(t, s, "another address")
		})
	}
}

// In a cluster joins count while they wait for their answer, and not afterwards if
// the key was there.
func TestJoinsOfKnownKeysAreNoGuesses(t *testing.T) {
	e := startEngine(t)
	there, here := e.node(), e.node("--max-guesses", "3")
	opener := dial(t, there)
	opener.open("known")
	local := dial(t, here)
	local.open("known here")
	for range 6 {
		dialFrom(t, here, "127.0.0.2").join("known")
		dialFrom(t, here, "127.0.0.2").join("known here")
	}
}

// proxyOne is the header of the PROXY protocol, version 1.
func proxyOne(client string) string {
	return "PROXY TCP4 " + client + " 198.51.100.100 4711 443\r\n"
}

func TestClientsBehindAProxyOfBytes(t *testing.T) {
	flags := []string{"--max-per-ip", "1", "--trusted-proxy", "127.0.0.2", "--proxy-protocol", "--max-guesses", "1"}
	for _, s := range []*instance{start(t, flags...), startTLS(t, flags...)} {
		// connect is a client of the proxy, with TLS if the server wants that.
		connect := func(header string) came {
			c := from(t, s, "127.0.0.2")
			_, err := io.WriteString(c.conn, header)
			require.NoError(t, err)
			if strings.HasPrefix(s.url, "wss") {
				c.conn = tls.Client(c.conn, trusted())
			}
			return c
		}
		require.Equal(t, 101, connect(proxyOne("198.51.100.1")).ask(upgradeRequest))
		require.Equal(t, 200, connect(proxyOne("198.51.100.2")).ask(streamRequest))
		require.Zero(t, connect(proxyOne("198.51.100.1")).ask(upgradeRequest), "too many of this address")
		require.Zero(t, connect(proxyOne("198.51.100.2")).ask(upgradeRequest))
		require.Zero(t, connect("").ask(upgradeRequest), "a proxy has to say whom it speaks for")
		require.Equal(t, 101, connect("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00").ask(upgradeRequest), "the proxy itself")

		// Who is no proxy has nothing to claim.
		direct := from(t, s, "127.0.0.3")
		_, err := io.WriteString(direct.conn, proxyOne("198.51.100.3"))
		require.NoError(t, err)
		if strings.HasPrefix(s.url, "wss") {
			require.NotEqual(t, 101, direct.ask(upgradeRequest))
		} else {
			require.Equal(t, 400, direct.ask(upgradeRequest))
		}
		dialFrom(t, s, "127.0.0.4")
	}
	s := start(t, flags...)
	guesser := from(t, s, "127.0.0.2")
	_, _ = io.WriteString(guesser.conn, proxyOne("198.51.100.9"))
	require.Equal(t, 101, guesser.ask(upgradeRequest))
	_, err := io.WriteString(guesser.conn, masked(0x81, `{"join":"nobody"}`))
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, guesser.conn)
	require.NoError(t, guesser.conn.Close())
	ask := func(client string) int {
		c := from(t, s, "127.0.0.2")
		_, _ = io.WriteString(c.conn, proxyOne(client))
		return c.ask(upgradeRequest)
	}
	eventually(t, func() bool { return ask("198.51.100.9") == 429 }, "it is the client who has guessed")
	require.Equal(t, 101, ask("198.51.100.10"))
}

// A client whose own address is in a trusted network is counted once, as what the
// proxy's header says, and not again for its stream.
func TestAStreamOfATrustedClientIsCountedOnce(t *testing.T) {
	s := start(t, "--max-per-ip", "2", "--trusted-proxy", "127.0.0.2,10.0.0.0/8", "--proxy-protocol")
	stream := func() came {
		c := from(t, s, "127.0.0.2")
		_, err := io.WriteString(c.conn, proxyOne("10.1.2.3"))
		require.NoError(t, err)
		return c
	}
	for range 5 {
		var first, second came
		eventually(t, func() bool {
			first, second = stream(), stream()
			if first.ask(streamRequest) == 200 && second.ask(streamRequest) == 200 {
				return true
			}
			return first.conn.Close() == nil && second.conn.Close() == nil && false
		}, "there is room for two")
		require.Zero(t, stream().ask(streamRequest), "too many of this address")
		require.NoError(t, first.conn.Close())
		require.NoError(t, second.conn.Close())
	}
}
