package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sigver/poller"
	"sigver/server"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// config is a server for tests, on a free port of the loopback.
func config(t testing.TB) server.Config {
	t.Helper()
	files, err := poller.RaiseFileLimit()
	require.NoError(t, err)
	return server.Config{
		Host:             "127.0.0.1",
		Loops:            2,
		FileLimit:        files,
		MaxMessage:       64 << 10,
		MaxBuffer:        1 << 20,
		MaxJoinings:      1024,
		HandshakeTimeout: 10 * time.Second,
		IdleTimeout:      30 * time.Second,
		Log:              slog.New(slog.DiscardHandler),
	}
}

// start runs a server in this process; it is stopped, and has to stop, with the
// test.
func start(t testing.TB, c server.Config) *server.Server {
	t.Helper()
	s, err := server.New(c)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(patience):
			require.Fail(t, "the server does not stop")
		}
	})
	return s
}

func dial(t testing.TB, s *server.Server) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, s.URL(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func say(t testing.TB, c *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, c.Write(ctx, websocket.MessageText, []byte(text)))
}

func hear(t testing.TB, c *websocket.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, text, err := c.Read(ctx)
	require.NoError(t, err)
	return string(text)
}

func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

// Every way to come and go, many times and over both loops: afterwards there is
// no descriptor, no goroutine and no key more than before.
func TestNothingIsLeftOfAnyWayToGo(t *testing.T) {
	s := start(t, config(t))
	ways := []func(i int){
		func(int) { // a scan: connects and says nothing
			c, err := net.Dial("tcp", s.Addr().String())
			require.NoError(t, err)
			require.NoError(t, c.Close())
		},
		func(int) { // half a header
			c, err := net.Dial("tcp", s.Addr().String())
			require.NoError(t, err)
			_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost:")
			require.NoError(t, err)
			require.NoError(t, c.Close())
		},
		func(int) { // a reset
			c, err := net.Dial("tcp", s.Addr().String())
			require.NoError(t, err)
			_, err = io.WriteString(c, "GET / HTTP/1.1\r\n")
			require.NoError(t, err)
			require.NoError(t, c.(*net.TCPConn).SetLinger(0))
			require.NoError(t, c.Close())
		},
		func(i int) { // an Opener that breaks off
			c := dial(t, s)
			say(t, c, fmt.Sprintf(`{"open":"breaks off %d"}`, i))
			require.Equal(t, `{"isKeyOk":true}`, hear(t, c))
			require.NoError(t, c.CloseNow())
		},
		func(i int) { // a pair in good order
			opener, joining := dial(t, s), dial(t, s)
			say(t, opener, fmt.Sprintf(`{"open":"%d"}`, i))
			require.Equal(t, `{"isKeyOk":true}`, hear(t, opener))
			say(t, joining, fmt.Sprintf(`{"join":"%d","data":"%s"}`, i, strings.Repeat("x", 3000)))
			require.Equal(t, `{"isKeyOk":true}`, hear(t, joining))
			require.Contains(t, hear(t, opener), "xxx")
			require.NoError(t, joining.Close(websocket.StatusNormalClosure, ""))
			require.Contains(t, hear(t, opener), "unavailable")
			require.NoError(t, opener.Close(websocket.StatusNormalClosure, ""))
		},
		func(int) { // nonsense
			c := dial(t, s)
			say(t, c, "nonsense")
			_, _, err := c.Read(t.Context())
			require.Equal(t, websocket.StatusCode(4000), websocket.CloseStatus(err))
		},
		func(i int) { // a stream with a key that breaks off, and one that says nonsense
			require.Equal(t, `{"isKeyOk":true}`, overStream(t, s, fmt.Appendf(nil, `{"open":"stream %d"}`, i)))
			require.Equal(t, "close 4000", overStream(t, s, []byte("nonsense")))
		},
		func(int) { // a visit
			resp, err := http.Get("http://" + s.Addr().String() + "/healthz")
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, resp.Body)
			require.NoError(t, resp.Body.Close())
			http.DefaultClient.CloseIdleConnections()
		},
	}
	nothingIsLeft(t, s, ways)
}

// The same over TLS.
func TestNothingIsLeftOfAnyWayToGoOverTLS(t *testing.T) {
	c := config(t)
	var pool *x509.CertPool
	c.TLS, pool = selfSigned(t)
	s := start(t, c)
	trusting := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting, DisableKeepAlives: true}}
	begin := func() net.Conn {
		c, err := net.Dial("tcp", s.Addr().String())
		require.NoError(t, err)
		return c
	}
	nothingIsLeft(t, s, []func(int){
		func(int) { // half a hello
			c := begin()
			_, err := io.WriteString(c, "\x16\x03\x01\x02\x00\x01")
			require.NoError(t, err)
			require.NoError(t, c.Close())
		},
		func(int) { // no hello at all
			c := begin()
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
			require.NoError(t, err)
			answer, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Contains(t, string(answer), "400")
			require.NoError(t, c.Close())
		},
		func(int) { // one that trusts nobody
			c := begin()
			require.Error(t, tls.Client(c, &tls.Config{ServerName: "localhost"}).Handshake())
			require.NoError(t, c.Close())
		},
		func(int) { // a handshake, and a reset
			c := begin()
			require.NoError(t, tls.Client(c, trusting).Handshake())
			require.NoError(t, c.(*net.TCPConn).SetLinger(0))
			require.NoError(t, c.Close())
		},
		func(i int) { // an Opener that breaks off, and one in good order
			for _, end := range []func(*websocket.Conn) error{
				(*websocket.Conn).CloseNow,
				func(c *websocket.Conn) error { return c.Close(websocket.StatusNormalClosure, "") },
			} {
				c, _, err := websocket.Dial(t.Context(), s.URL(), &websocket.DialOptions{HTTPClient: client})
				require.NoError(t, err)
				say(t, c, fmt.Sprintf(`{"open":"%d %p"}`, i, c))
				require.Equal(t, `{"isKeyOk":true}`, hear(t, c))
				require.NoError(t, end(c))
			}
		},
		func(int) { // a visit
			resp, err := client.Get("https://" + s.Addr().String() + "/healthz")
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, resp.Body)
			require.NoError(t, resp.Body.Close())
		},
		func(int) { // a stream that breaks off
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.Addr().String(), nil)
			require.NoError(t, err)
			req.Header.Set("Accept", "text/event-stream")
			resp, err := client.Do(req)
			require.NoError(t, err)
			_, err = io.ReadFull(resp.Body, make([]byte, len("event: auth")))
			require.NoError(t, err)
			_ = resp.Body.Close()
		},
	})
}

// selfSigned is a certificate of the server's, and who trusts it.
func selfSigned(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"http/1.1"}}, pool
}

// nothingIsLeft goes each way many times.
func nothingIsLeft(t *testing.T, s *server.Server, ways []func(int)) {
	t.Helper()
	for i, way := range ways {
		way(-1 - i) // what the runtime opens once is open now
	}
	settle := func() (files, goroutines int) {
		require.Eventually(t, func() bool { return s.Connections() == 0 }, patience, time.Millisecond)
		return openFiles(t), runtime.NumGoroutine()
	}
	files, goroutines := settle()
	for i := range 150 {
		for _, way := range ways {
			way(i)
		}
	}
	// In this goroutine, which does not count: Eventually would start another.
	deadline := time.Now().Add(patience)
	for f, g := settle(); f > files || g > goroutines; f, g = settle() {
		require.True(t, time.Now().Before(deadline), "left over: %d descriptors, %d goroutines", f-files, g-goroutines)
		runtime.Gosched()
	}
	stats := s.Stats()
	require.Zero(t, stats.Keys)
	require.Zero(t, stats.Joinings)
	require.NoError(t, s.Check())
}

// crowd connects n clients, which say nothing and are closed with the test.
func crowd(t *testing.T, s *server.Server, n int) (conns []net.Conn) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", s.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c)
	}
	return conns
}

func TestConnectionsDoNotCostGoroutines(t *testing.T) {
	s := start(t, config(t))
	runtime.GC()
	goroutines := runtime.NumGoroutine()
	crowd(t, s, 500)
	require.Eventually(t, func() bool { return s.Connections() == 500 }, patience, time.Millisecond)
	// Others have some now and then: the runtime, the test itself.
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines+10)
}

func TestStopCutsOffWhoDoesNotLeave(t *testing.T) {
	s, err := server.New(config(t))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.Eventually(t, func() bool { return s.Connections() == 1 }, patience, time.Millisecond)
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "the server waits for ever")
	}
	require.Zero(t, s.Connections())
}

func TestImpossibleSettings(t *testing.T) {
	cases := []struct {
		name   string
		change func(*server.Config)
		says   string
	}{
		{
			name:   "more connections than files",
			change: func(c *server.Config) { c.MaxConnections = c.FileLimit },
			says:   "--max-connections",
		},
		{
			name:   "hardly any files",
			change: func(c *server.Config) { c.FileLimit = 100 },
			says:   "open-file limit is 100",
		},
		{
			name:   "no host",
			change: func(c *server.Config) { c.Host = "" },
			says:   "--host",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := openFiles(t)
			changed := config(t)
			c.change(&changed)
			_, err := server.New(changed)
			require.ErrorIs(t, err, server.ErrImpossible)
			require.ErrorContains(t, err, c.says)
			require.Equal(t, files, openFiles(t))
		})
	}
}

func TestAddressInUseIsAnError(t *testing.T) {
	s := start(t, config(t))
	files := openFiles(t)
	taken := config(t)
	taken.Port = int(s.Addr().Port())
	_, err := server.New(taken)
	require.ErrorContains(t, err, "address already in use")
	require.Equal(t, files, openFiles(t))
}
