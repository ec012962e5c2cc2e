package conn_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/conn"
	"sigver/protocol"
)

// updating is the sending half of a client of TLS 1.3 after its handshake, which
// changes its key as often as it likes: crypto/tls never does.
type updating struct {
	t      testing.TB
	secret []byte
	nonce  []byte // the one of the first record
	aead   cipher.AEAD
	record uint64 // of this key
}

// dialUpdating is dialTLS for a client whose half is then the test's own. buffers
// are the kernel's towards it, in bytes.
func (l *secureLoop) dialUpdating(t testing.TB, buffers int) (*client, net.Conn, *updating) {
	c, dialed := l.connect(t)
	require.NoError(t, dialed.(*net.TCPConn).SetReadBuffer(buffers))
	require.NoError(t, syscall.SetsockoptInt(c.near, syscall.SOL_SOCKET, syscall.SO_SNDBUF, buffers))
	var log strings.Builder
	config := l.client.Clone()
	config.MinVersion, config.KeyLogWriter = tls.VersionTLS13, &log
	secured := tls.Client(dialed, config)
	require.NoError(t, secured.Handshake())
	require.Equal(t, tls.TLS_AES_128_GCM_SHA256, secured.ConnectionState().CipherSuite)
	_, after, found := strings.Cut(log.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	require.True(t, found)
	secret, err := hex.DecodeString(strings.Fields(after)[1])
	require.NoError(t, err)
	u := &updating{t: t}
	u.use(secret)
	return c, dialed, u
}

// use takes a traffic secret (RFC 8446 §7.3).
func (u *updating) use(secret []byte) {
	u.secret, u.record = secret, 0
	u.nonce = u.expand("iv", 12)
	block, err := aes.NewCipher(u.expand("key", 16))
	require.NoError(u.t, err)
	u.aead, err = cipher.NewGCM(block)
	require.NoError(u.t, err)
}

// expand is HKDF-Expand-Label without a context (RFC 8446 §7.1).
func (u *updating) expand(label string, length int) []byte {
	label = "tls13 " + label
	info := string([]byte{0, byte(length), byte(len(label))}) + label + "\x00"
	out, err := hkdf.Expand(sha256.New, u.secret, info, length)
	require.NoError(u.t, err)
	return out
}

// appendRecord appends content of a type as one record (RFC 8446 §5.2).
func (u *updating) appendRecord(b []byte, content string, kind byte) []byte {
	plain := append([]byte(content), kind)
	header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(plain)+u.aead.Overhead()))
	nonce := append([]byte(nil), u.nonce...)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^u.record)
	u.record++
	return u.aead.Seal(append(b, header...), nonce, plain, header)
}

// appendUpdate appends a KeyUpdate that asks for one in return (RFC 8446 §4.6.3).
func (u *updating) appendUpdate(b []byte) []byte {
	b = u.appendRecord(b, "\x18\x00\x00\x01\x01", 22)
	u.use(u.expand("traffic upd", sha256.Size))
	return b
}

// The server answers each KeyUpdate. A client that reads the answers may send as
// many as it likes; one that does not is no reason to keep them all.
func TestAFloodOfKeyUpdates(t *testing.T) {
	limits := generous
	limits.Rate = 0
	l := newSecureLoop(t, limits)
	c, dialed, u := l.dialUpdating(t, 4<<10)
	_, err := dialed.Write(u.appendRecord(nil, request, 23))
	require.NoError(t, err)
	l.until(t, func() bool { return c.opened == 1 })
	const most = 4 << 20
	for sent := 0; err == nil && sent < most; {
		var b []byte
		for range 200 {
			// TLS itself bears a few that bring nothing else.
			b = u.appendUpdate(b)
			b = u.appendRecord(b, frame(pong, ""), 23)
		}
		var n int
		n, err = dialed.Write(b)
		sent += n
	}
	require.Error(t, err, "%d MiB of them, and no end", most>>20)
	l.until(t, func() bool { return c.closed == 1 })
	l.do(func() { require.Equal(t, []protocol.CloseCode{conn.Lost}, c.left) })
}

// The answers to many that come at once are written before they are too many.
func TestManyKeyUpdatesOfAClientThatReads(t *testing.T) {
	l := newSecureLoop(t, generous)
	c, dialed, u := l.dialUpdating(t, 1<<20)
	b := u.appendRecord(nil, request, 23)
	for range 10_000 {
		b = u.appendUpdate(b)
		b = u.appendRecord(b, frame(pong, ""), 23)
	}
	b = u.appendRecord(b, frame(text, "still here"), 23)
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 64<<10)
		for {
			if _, err := dialed.Read(buf); err != nil {
				return
			}
		}
	}()
	_, err := dialed.Write(b)
	require.NoError(t, err)
	l.until(t, func() bool { return len(c.messages) == 1 || c.closed == 1 })
	l.do(func() { require.Equal(t, []string{"still here"}, c.messages) })
	require.NoError(t, dialed.Close())
	<-read
}
