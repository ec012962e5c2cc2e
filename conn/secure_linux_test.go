package conn_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/conn"
	"sigver/poller"
	"sigver/protocol"
)

// secureLoop is a loop whose connections speak TLS.
type secureLoop struct {
	*loop
	listener int
	addr     string
	client   *tls.Config
}

func newSecureLoop(t testing.TB, limits conn.Limits) *secureLoop {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)

	l := &secureLoop{loop: newLoop(t, limits), client: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	l.do(func() {
		l.set.TLS = &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"http/1.1"},
		}
	})
	l.listener, err = poller.Listen(netip.MustParseAddrPort("127.0.0.1:0"), false)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, poller.CloseFD(l.listener)) })
	addr, err := poller.LocalAddr(l.listener)
	require.NoError(t, err)
	l.addr = addr.String()
	return l
}

// connect returns both ends of a TCP connection, which the loop serves.
func (l *secureLoop) connect(t testing.TB) (*client, net.Conn) {
	t.Helper()
	dialed, err := net.Dial("tcp", l.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = dialed.Close() })
	require.NoError(t, dialed.SetDeadline(time.Now().Add(patience)))
	c := &client{fd: -1}
	require.Eventually(t, func() bool { c.near, err = poller.Accept(l.listener); return err == nil }, patience, time.Millisecond)
	l.do(func() { require.NoError(t, l.set.Serve(l.owned(&c.Conn, c), c.near)) })
	return c, dialed
}

// dialTLS is connect and a TLS handshake.
func (l *secureLoop) dialTLS(t testing.TB, versions ...uint16) (*client, *tls.Conn) {
	t.Helper()
	c, dialed := l.connect(t)
	config := l.client.Clone()
	if len(versions) > 0 {
		config.MinVersion, config.MaxVersion = versions[0], versions[0]
	}
	secured := tls.Client(dialed, config)
	require.NoError(t, secured.Handshake())
	return c, secured
}

// dialWSS is dialTLS and a WebSocket handshake.
func (l *secureLoop) dialWSS(t testing.TB, versions ...uint16) (*client, *tls.Conn) {
	t.Helper()
	c, secured := l.dialTLS(t, versions...)
	_, err := io.WriteString(secured, request)
	require.NoError(t, err)
	wantBytes(t, secured, accepted)
	return c, secured
}

func wantBytes(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	require.NoError(t, err)
	require.True(t, want == string(got), "%d bytes", len(want))
}

func TestMessagesOverTLS(t *testing.T) {
	l := newSecureLoop(t, generous)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			c, wss := l.dialWSS(t, version)
			for _, size := range []int{0, 10, 2000, 16 << 10, 60 << 10} {
				message := strings.Repeat("m", size)
				_, err := io.WriteString(wss, frame(text, message))
				require.NoError(t, err)
				l.until(t, func() bool { return len(c.messages) == 1 })
				l.do(func() {
					require.True(t, message == c.messages[0])
					c.messages = nil
					c.Send([]byte(message))
				})
				wantBytes(t, wss, answer(text, message))
			}
			l.do(func() { c.Close(protocol.KeyExists, "taken") })
			wantBytes(t, wss, answer(closes, closeBody(4010, "KEY_EXISTS: taken")))
			_, err := wss.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF, "the end is said in TLS, not by cutting off")
			require.NoError(t, wss.Close())
			l.until(t, func() bool { return c.closed == 1 })
		})
	}
}

// However the records are cut and packed, all that is in them gets through, and
// at once: what tls.Conn has decrypted makes no socket readable.
func TestManyRecordsInOnePacketAndOneInMany(t *testing.T) {
	l := newSecureLoop(t, generous)
	c, dialed := l.connect(t)
	held := &holding{Conn: dialed}
	wss := tls.Client(held, l.client)
	require.NoError(t, wss.Handshake())
	_, err := io.WriteString(wss, request)
	require.NoError(t, err)
	wantBytes(t, wss, accepted)

	held.hold = true
	const n = 100
	for range n {
		_, err := io.WriteString(wss, frame(text, "record"))
		require.NoError(t, err)
	}
	_, err = dialed.Write(held.held)
	require.NoError(t, err)
	l.until(t, func() bool { return len(c.messages) == n })

	held.held = nil
	_, err = io.WriteString(wss, frame(text, strings.Repeat("r", 3000)))
	require.NoError(t, err)
	for _, b := range held.held {
		_, err = dialed.Write([]byte{b})
		require.NoError(t, err)
	}
	l.until(t, func() bool { return len(c.messages) == n+1 })
}

// holding keeps what is written, if hold is set.
type holding struct {
	net.Conn
	hold bool
	held []byte
}

func (h *holding) Write(p []byte) (int, error) {
	if !h.hold {
		return h.Conn.Write(p)
	}
	h.held = append(h.held, p...)
	return len(p), nil
}

// The client's first message may come in any pieces, and with more behind it.
func TestAClientHelloInPieces(t *testing.T) {
	l := newSecureLoop(t, generous)
	_, dialed := l.connect(t)
	held := &holding{Conn: dialed}
	dripping := &dripping{holding: held}
	wss := tls.Client(dripping, l.client)
	require.NoError(t, wss.Handshake())
	_, err := io.WriteString(wss, request)
	require.NoError(t, err)
	wantBytes(t, wss, accepted)
}

// dripping writes byte by byte.
type dripping struct{ *holding }

func (d *dripping) Write(p []byte) (int, error) {
	for i := range p {
		if n, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(p), nil
}

// An idle connection with TLS has no goroutine, and one that has not yet said
// anything sensible never had one.
func TestTLSNeedsNoGoroutineButForTheHandshake(t *testing.T) {
	l := newSecureLoop(t, generous)
	before := runtime.NumGoroutine()
	for range 50 {
		l.dialWSS(t)
	}
	half := clientHello(t, l.client)
	half = half[:len(half)-1]
	for i := range 50 {
		_, dialed := l.connect(t)
		_, err := dialed.Write(half[:i*len(half)/50])
		require.NoError(t, err)
	}
	l.until(t, func() bool { return l.set.Len() == 100 })
	// Eventually has one or two itself.
	require.Eventually(t, func() bool { return runtime.NumGoroutine() < before+5 }, patience, time.Millisecond)
}

// clientHello is what a client sends first.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	held := &holding{Conn: near, hold: true}
	require.NoError(t, far.Close())
	require.Error(t, tls.Client(held, config).Handshake())
	require.NoError(t, near.Close())
	require.NotEmpty(t, held.held)
	return held.held
}

func TestPlainHTTPOnAPortOfTLS(t *testing.T) {
	l := newSecureLoop(t, generous)
	c, dialed := l.connect(t)
	_, err := io.WriteString(dialed, request)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(dialed), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Contains(t, string(body), "TLS")
	require.NoError(t, dialed.Close())
	l.until(t, func() bool { return c.closed == 1 })
}

func TestWhatIsNoClientHelloEndsTheConnection(t *testing.T) {
	l := newSecureLoop(t, generous)
	hello := clientHello(t, l.client)
	broken := bytes.Clone(hello)
	broken[recordHeader] = 99 // no handshake message
	for name, sent := range map[string][]byte{
		"no record":          []byte("\x00\x01\x02\x03\x04\x05"),
		"a record too large": {22, 3, 1, 0xff, 0xff},
		"a hello over 8 KiB": append([]byte{22, 3, 1, 0x20, 0x01}, make([]byte, 8<<10)...),
		"an empty record":    {22, 3, 1, 0, 0},
		"a record of one":    {22, 3, 1, 0, 1, 9},
		"another message":    broken,
		"another protocol":   clientHello(t, &tls.Config{ServerName: "localhost", NextProtos: []string{"h2"}}),
	} {
		t.Run(name, func(t *testing.T) {
			c, dialed := l.connect(t)
			_, err := dialed.Write(sent)
			require.NoError(t, err)
			require.NoError(t, dialed.(*net.TCPConn).CloseWrite())
			_, err = io.Copy(io.Discard, dialed)
			require.True(t, err == nil || !errors.Is(err, net.ErrClosed), "%v", err)
			l.until(t, func() bool { return c.closed == 1 })
			l.do(func() { require.Zero(t, c.opened) })
		})
	}
	l.do(func() { require.Zero(t, l.set.Len()) })
}

const recordHeader = 5

// Clients that begin a handshake and do not go on have a second or two if others
// wait; those others are served.
func TestHandshakesThatStandStillDelayNobodyForLong(t *testing.T) {
	limits := generous
	limits.Handshake = time.Minute
	l := newSecureLoop(t, limits)
	hello := clientHello(t, l.client)
	for range conn.MaxHandshakes + 10 {
		_, dialed := l.connect(t)
		_, err := dialed.Write(hello)
		require.NoError(t, err)
	}
	l.until(t, func() bool { return l.set.Away() == conn.MaxHandshakes })
	begun := time.Now()
	l.dialWSS(t)
	require.Less(t, time.Since(begun), limits.Handshake/2)
}

// One whose turn comes when its time is over has no more of it.
func TestATurnThatComesTooLate(t *testing.T) {
	limits := generous
	limits.Handshake = 5 * time.Second
	l := newSecureLoop(t, limits)
	hello := clientHello(t, l.client)
	var all []*client
	for range conn.MaxHandshakes + 1 {
		c, dialed := l.connect(t)
		_, err := dialed.Write(hello)
		require.NoError(t, err)
		all = append(all, c)
	}
	l.until(t, func() bool { return l.set.Away() == conn.MaxHandshakes })
	last := all[conn.MaxHandshakes]
	l.do(func() {
		l.set.Skip(limits.Handshake + time.Second)
		all[0].GoAway()
	})
	l.until(t, func() bool { return all[0].closed == 1 && last.closed == 1 })
}

// A first record that is announced larger than any hello is not waited for: what
// sockets with half of it would hold adds up.
func TestALargeFirstRecordIsNotWaitedFor(t *testing.T) {
	l := newSecureLoop(t, generous)
	c, dialed := l.connect(t)
	_, err := dialed.Write([]byte{22, 3, 1, 0x20, 0x01})
	require.NoError(t, err)
	l.until(t, func() bool { return c.closed == 1 })
	_, err = io.Copy(io.Discard, dialed)
	require.NoError(t, err)
}

func TestAHandshakeHasATimeLimit(t *testing.T) {
	limits := generous
	limits.Handshake = 4 * time.Second // for the first one: a whole handshake of TLS
	l := newSecureLoop(t, limits)
	_, wss := l.dialTLS(t)
	hello := clientHello(t, l.client)
	var all []*client
	for _, sent := range [][]byte{nil, hello[:7], hello} {
		c, dialed := l.connect(t)
		_, err := dialed.Write(sent)
		require.NoError(t, err)
		all = append(all, c)
	}
	got, err := io.ReadAll(wss)
	require.NoError(t, err)
	require.Contains(t, string(got), "408", "TLS, and then nothing")
	for _, c := range all {
		l.until(t, func() bool { return c.closed == 1 })
	}
}

func TestAnEndDuringTheHandshake(t *testing.T) {
	l := newSecureLoop(t, generous)
	hello := clientHello(t, l.client)
	var clients []*client
	for _, sent := range [][]byte{nil, hello[:100], hello} {
		c, dialed := l.connect(t)
		_, err := dialed.Write(sent)
		require.NoError(t, err)
		clients = append(clients, c)
	}
	l.until(t, func() bool { return l.set.Away() == 1 })
	l.do(l.set.GoAway)
	for _, c := range clients {
		l.until(t, func() bool { return c.closed == 1 })
	}
	l.do(func() { require.Zero(t, l.set.Len()) })
}

func TestASlowConsumerOverTLS(t *testing.T) {
	limits := generous
	limits.Unsent = 100 << 10
	l := newSecureLoop(t, limits)
	c, wss := l.dialWSS(t)
	message := strings.Repeat("s", 50<<10)
	sent := 0
	l.until(t, func() bool {
		for range 10 {
			c.Send([]byte(message))
		}
		sent += 10
		return len(c.left) == 1
	})
	l.do(func() { require.Equal(t, []protocol.CloseCode{protocol.SlowConsumer}, c.left) })
	got, err := io.ReadAll(wss)
	require.NoError(t, err)
	want := answer(closes, closeBody(1008, "SLOW_CONSUMER: too many bytes were left unread"))
	require.True(t, strings.HasSuffix(string(got), want))
	one := answer(text, message)
	whole := strings.TrimSuffix(string(got), want)
	require.Zero(t, len(whole)%len(one), "a part of a message")
	require.True(t, whole == strings.Repeat(one, len(whole)/len(one)))
}

// What is large arrives whole, though the socket takes it in parts.
func TestMoreThanTheSocketTakesOverTLS(t *testing.T) {
	limits := generous
	limits.Unsent = 64 << 20
	l := newSecureLoop(t, limits)
	c, wss := l.dialWSS(t)
	message := strings.Repeat("0123456789abcdef", beyondTCP/16)
	l.do(func() { c.Send([]byte(message)) })
	l.until(t, func() bool { return l.set.Blocked(&c.Conn) })
	wantBytes(t, wss, answer(text, message))
	l.until(t, func() bool { unsent, _ := c.Output(); return unsent == 0 })
	_, err := io.WriteString(wss, frame(closes, closeBody(1000, "")))
	require.NoError(t, err)
	wantBytes(t, wss, answer(closes, closeBody(1000, "")))
}

func TestAVisitorOverTLS(t *testing.T) {
	l := newSecureLoop(t, generous)
	c, wss := l.dialTLS(t)
	visit := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo"
	_, err := io.WriteString(wss, visit)
	require.NoError(t, err)
	l.until(t, func() bool { return c.visitor != nil })
	v := c.visitor
	_, err = io.WriteString(wss, "dy")
	require.NoError(t, err)
	wantBytes(t, v, visit+"dy")
	_, err = io.WriteString(v, "answer")
	require.NoError(t, err)
	wantBytes(t, wss, "answer")
	require.NoError(t, v.Close())
	_, err = wss.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}
