package e2e

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// raw is a client that can break every rule: it writes bytes.
type raw struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

const upgradeRequest = "GET /any/path HTTP/1.1\r\nHost: sigver.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func dialRaw(t testing.TB, s *instance) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", s.next().addr)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { _ = conn.Close() })
	return rawOver(t, conn)
}

func rawOver(t testing.TB, conn net.Conn) *raw {
	return &raw{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func upgradeRaw(t testing.TB, s *instance) *raw {
	t.Helper()
	r := dialRaw(t, s)
	r.write(upgradeRequest)
	header := r.header()
	require.Contains(t, header, "101 Switching Protocols")
	return r
}

func (r *raw) write(text string) {
	r.t.Helper()
	_, err := r.conn.Write([]byte(text))
	require.NoError(r.t, err)
}

// header reads to the blank line.
func (r *raw) header() string {
	r.t.Helper()
	var header strings.Builder
	for {
		line, err := r.in.ReadString('\n')
		require.NoError(r.t, err, header.String())
		if line == "\r\n" {
			return header.String()
		}
		header.WriteString(line)
	}
}

// frame reads one unmasked frame.
func (r *raw) frame() (first byte, payload []byte) {
	r.t.Helper()
	var head [2]byte
	_, err := io.ReadFull(r.in, head[:])
	require.NoError(r.t, err)
	length := int(head[1])
	if length == 126 {
		var long [2]byte
		_, err = io.ReadFull(r.in, long[:])
		require.NoError(r.t, err)
		length = int(binary.BigEndian.Uint16(long[:]))
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r.in, payload)
	require.NoError(r.t, err)
	return head[0], payload
}

// wantClose reads a close frame and, after it, the end of the stream.
func (r *raw) wantClose(code int, reason string) {
	r.t.Helper()
	first, payload := r.frame()
	require.Equal(r.t, byte(0x88), first, "payload %q", payload)
	require.GreaterOrEqual(r.t, len(payload), 2)
	require.Equal(r.t, code, int(binary.BigEndian.Uint16(payload)))
	require.Contains(r.t, string(payload[2:]), reason)
	rest, err := io.ReadAll(r.in)
	require.NoError(r.t, err)
	require.Empty(r.t, rest, "bytes after the close frame")
}

// masked is a frame with a mask of zeros, so that its payload can be read here.
func masked(first byte, payload string) string {
	n := len(payload)
	switch {
	case n < 126:
		return string([]byte{first, 0x80 | byte(n), 0, 0, 0, 0}) + payload
	case n <= 0xffff:
		return string([]byte{first, 0x80 | 126, byte(n >> 8), byte(n), 0, 0, 0, 0}) + payload
	}
	head := binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(n))
	return string(head) + "\x00\x00\x00\x00" + payload
}

// Every code of docs/PROTOCOL.md that this version can send, with what brings it
// about. 1008 (a client that does not read) and 1001 are below, 4012 and 4020
// in the transcripts too.
func TestCloseCodes(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *instance{"one server": start, "two nodes": startNodes} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			// Clients that do as they should must keep these limits on a slow machine too.
			testCloseCodes(t, start(t, "--max-joinings", "1", "--idle-timeout", "3s", "--heartbeat", "3s", "--burst", "20", "--rate", "1"))
		})
	}
}

func testCloseCodes(t *testing.T, s *instance) {
	cases := []struct {
		name   string
		before func(t *testing.T)
		send   string // raw bytes after the handshake
		answer string // a message before the close
		code   int
		reason string
	}{
		{
			name: "1000 answers a normal close",
			send: masked(0x88, "\x03\xe8bye"),
			code: 1000,
		},
		{
			name: "3000 answers a client's own code",
			send: masked(0x88, "\x0b\xb8"),
			code: 3000,
		},
		{
			name:   "1002 unmasked frame",
			send:   "\x81\x02{}",
			code:   1002,
			reason: "PROTOCOL_ERROR: ",
		},
		{
			name:   "1002 reserved bit",
			send:   masked(0xc1, "{}"),
			code:   1002,
			reason: "PROTOCOL_ERROR: ",
		},
		{
			name:   "1002 continuation without a start",
			send:   masked(0x80, "{}"),
			code:   1002,
			reason: "PROTOCOL_ERROR: ",
		},
		{
			name:   "1003 binary message",
			send:   masked(0x82, "{}"),
			code:   1003,
			reason: "UNSUPPORTED_DATA: ",
		},
		{
			name:   "1007 text that is not UTF-8",
			send:   masked(0x81, "{\"open\":\"\xc0\xaf\"}"),
			code:   1007,
			reason: "INVALID_PAYLOAD: ",
		},
		{
			name:   "1009 refused from the header alone",
			send:   "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00",
			code:   1009,
			reason: "MESSAGE_TOO_BIG: ",
		},
		{
			name:   "1009 in fragments",
			send:   masked(0x01, strings.Repeat(" ", 40<<10)) + masked(0x80, strings.Repeat(" ", 40<<10)),
			code:   1009,
			reason: "MESSAGE_TOO_BIG: ",
		},
		{
			name:   "4000 not JSON",
			send:   masked(0x81, "hello"),
			code:   4000,
			reason: "MESSAGE_ERROR: ",
		},
		{
			name:   "4000 what only a lenient parser takes for JSON",
			send:   masked(0x81, `{"open":"k","x":01}`),
			code:   4000,
			reason: "MESSAGE_ERROR: ",
		},
		{
			name:   "4000 nothing that is known",
			send:   masked(0x81, `{"hello":1}`),
			code:   4000,
			reason: "MESSAGE_ERROR: ",
		},
		{
			name:   "4001 a key that is no string",
			send:   masked(0x81, `{"open":1}`),
			code:   4001,
			reason: "KEY_ERROR: ",
		},
		{
			name:   "4001 an empty key",
			send:   masked(0x81, `{"join":""}`),
			code:   4001,
			reason: "KEY_ERROR: ",
		},
		{
			name:   "4001 a key of 513 characters",
			send:   masked(0x81, `{"open":"`+strings.Repeat("é", 513)+`"}`),
			code:   4001,
			reason: "KEY_ERROR: ",
		},
		{
			name:   "4003 neither opened nor joined",
			code:   4003,
			reason: "IDLE: ",
		},
		{
			name:   "4002 a client that answers no ping",
			send:   masked(0x81, `{"open":"heartbeat"}`),
			answer: `{"isKeyOk":true}`,
			code:   4002,
			reason: "HEARTBEAT_TIMEOUT: ",
		},
		{
			name:   "4010 a key that is taken",
			before: func(t *testing.T) { dial(t, s).open("taken") },
			send:   masked(0x81, `{"open":"taken"}`),
			answer: `{"isKeyOk":false}`,
			code:   4010,
			reason: "KEY_EXISTS: ",
		},
		{
			name:   "4011 a key that nobody opened",
			send:   masked(0x81, `{"join":"nobody"}`),
			answer: `{"isKeyOk":false}`,
			code:   4011,
			reason: "KEY_UNKNOWN: ",
		},
		{
			name:   "4013 opening twice",
			send:   masked(0x81, `{"open":"twice"}`) + masked(0x81, `{"open":"thrice"}`),
			answer: `{"isKeyOk":true}`,
			code:   4013,
			reason: "ALREADY_BOUND: ",
		},
		{
			name: "4014 an Opener at its limit",
			before: func(t *testing.T) {
				dial(t, s).open("popular")
				dial(t, s).join("popular")
			},
			send:   masked(0x81, `{"join":"popular"}`),
			answer: `{"isKeyOk":false}`,
			code:   4014,
			reason: "TOO_MANY_JOININGS: ",
		},
		{
			name:   "4022 to a Joining from no Opener",
			send:   masked(0x81, `{"id":1,"data":1}`),
			code:   4022,
			reason: "TRANSMIT_BEFORE_OPEN: ",
		},
		{
			name:   "4023 data from no Joining",
			send:   masked(0x81, `{"data":1}`),
			code:   4023,
			reason: "TRANSMIT_BEFORE_JOIN: ",
		},
		{
			name:   "4029 too many messages",
			send:   strings.Repeat(masked(0x8a, ""), 30),
			code:   4029,
			reason: "RATE_LIMITED: ",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before(t)
			}
			for range s.nodes() { // where others have what it is about, and elsewhere
				r := upgradeRaw(t, s)
				r.write(c.send)
				if c.answer != "" {
					first, payload := r.frame()
					require.Equal(t, byte(0x81), first)
					require.Equal(t, c.answer, string(payload))
				}
				for c.code == 4002 {
					if next, err := r.in.Peek(1); err != nil || next[0] != 0x89 {
						break
					}
					r.frame() // a ping that stays unanswered
				}
				r.wantClose(c.code, c.reason)
			}
		})
	}
	exchange(t, s, "after all that")
}

func TestStoppingServerSays1001(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			s := start(t, "--drain", "0")
			opener, joining, idle := dial(t, s), dial(t, s), dial(t, s)
			opener.open("stopping")
			joining.join("stopping")
			begun := time.Now()
			s.signal(sig)
			joining.wantClose(1001, "GOING_AWAY: ")
			opener.wantClose(1001, "GOING_AWAY: ")
			idle.wantClose(1001, "GOING_AWAY: ")
			s.wantExit(0)
			require.Less(t, time.Since(begun), 5*time.Second)
			_, err := net.Dial("tcp", s.addr)
			require.Error(t, err, "the address must be free")
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := start(t)
	// A client that never answers the close keeps a patient server waiting.
	r := upgradeRaw(t, s)
	s.signal(syscall.SIGTERM)
	r.wantClose(1001, "GOING_AWAY: ")
	// Its patience is a second, which may be over by now.
	if err := s.cmd.Process.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		require.NoError(t, err)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		require.Fail(t, "still there")
	}
}
