package conn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMessageLengths(t *testing.T) { // RFC 6455 §5.2
	limits := generous
	limits.Message = 1 << 20
	l := newLoop(t, limits)
	l.do(func() {
		for _, n := range []int{0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 1 << 20} {
			c := l.open()
			message := strings.Repeat("m", n)
			c.send(frame(text, message))
			require.Equal(t, []string{message}, c.messages, "%d bytes", n)
			c.Send([]byte(message))
			var got string
			for want := answer(text, message); len(got) < len(want); {
				more, ended := c.receive()
				require.False(t, ended)
				got += more
			}
			require.Equal(t, answer(text, message), got, "%d bytes", n)
			c.hangUp()
		}
	})
}

func TestBrokenFrames(t *testing.T) {
	const mask = "\x00\x00\x00\x00"
	cases := []struct {
		name   string
		send   string
		before []string // messages that are still good
		code   uint16
	}{
		{
			name: "§5.1 unmasked",
			send: "\x81\x02{}",
			code: 1002,
		},
		{
			name: "§5.2 first reserved bit",
			send: frame(text|0x40, ""),
			code: 1002,
		},
		{
			name: "§5.2 second reserved bit",
			send: frame(text|0x20, ""),
			code: 1002,
		},
		{
			name: "§5.2 third reserved bit",
			send: frame(text|0x10, ""),
			code: 1002,
		},
		{
			name: "§5.2 16-bit length that fits 7 bits",
			send: "\x81\xfe\x00\x7d" + mask,
			code: 1002,
		},
		{
			name: "§5.2 64-bit length that fits 16 bits",
			send: "\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff" + mask,
			code: 1002,
		},
		{
			name: "§5.2 64-bit length with the highest bit",
			send: "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00" + mask,
			code: 1002,
		},
		{
			name: "§5.1 unmasked ping",
			send: "\x89\x00",
			code: 1002,
		},
		{
			name: "§5.2 64-bit length that fits 7 bits",
			send: "\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05" + mask + "hello",
			code: 1002,
		},
		{
			name: "§5.2 16-bit length of a ping that fits 7 bits",
			send: "\x89\xfe\x00\x01" + mask + "p",
			code: 1002,
		},
		{
			name: "§5.2 reserved bit of a ping",
			send: frame(ping|0x40, ""),
			code: 1002,
		},
		{
			name: "§5.2 reserved bit of a continuation",
			send: frame(textBegins, "a") + frame(continueEnds|0x40, "b"),
			code: 1002,
		},
		{
			name: "§5.4 continuation without a start",
			send: frame(continueEnds, "x"),
			code: 1002,
		},
		{
			name:   "§5.4 continuation after the end",
			send:   frame(textBegins, "a") + frame(continueEnds, "b") + frame(continues, "c"),
			before: []string{"ab"},
			code:   1002,
		},
		{
			name: "§5.4 new message inside a message",
			send: frame(textBegins, "a") + frame(text, "b"),
			code: 1002,
		},
		{
			name: "§5.5 fragmented ping",
			send: frame(ping&^0x80, ""),
			code: 1002,
		},
		{
			name: "§5.5 ping of 126 bytes",
			send: frame(ping, strings.Repeat("p", 126)),
			code: 1002,
		},
		{
			name: "§5.5 fragmented pong",
			send: frame(pong&^0x80, ""),
			code: 1002,
		},
		{
			name: "§5.5 fragmented close",
			send: frame(closes&^0x80, closeBody(1000, "")),
			code: 1002,
		},
		{
			name: "§5.5 pong of 126 bytes",
			send: frame(pong, strings.Repeat("p", 126)),
			code: 1002,
		},
		{
			name: "§5.5 close of 126 bytes",
			send: frame(closes, closeBody(1000, strings.Repeat("r", 124))),
			code: 1002,
		},
		{
			name: "§5.5 ping of 64 KiB, from the header",
			send: "\x89\xff\x00\x00\x00\x00\x00\x01\x00\x00" + mask,
			code: 1002,
		},
		{
			name: "§5.5 fragmented ping inside a message",
			send: frame(textBegins, "a") + frame(ping&^0x80, ""),
			code: 1002,
		},
		{
			name: "§5.6 binary that begins in fragments",
			send: frame(binaryFrame&^0x80, "x"),
			code: 1003,
		},
		{
			name: "§5.6 binary",
			send: frame(binaryFrame, "x"),
			code: 1003,
		},
		{
			name: "§5.6 binary, refused before it is complete",
			send: frame(binaryFrame, "x")[:6],
			code: 1003,
		},
		{
			name: "§8.1 overlong",
			send: frame(text, "\xc0\xaf"),
			code: 1007,
		},
		{
			name: "§8.1 overlong in three bytes",
			send: frame(text, "\xe0\x80\xaf"),
			code: 1007,
		},
		{
			name: "§8.1 surrogate",
			send: frame(text, "\xed\xa0\x80"),
			code: 1007,
		},
		{
			name: "§8.1 beyond U+10FFFF",
			send: frame(text, "\xf4\x90\x80\x80"),
			code: 1007,
		},
		{
			name: "§8.1 cut off",
			send: frame(text, "\xf0\x9f\x98"),
			code: 1007,
		},
		{
			name: "§8.1 broken over fragments",
			send: frame(textBegins, "\xf0\x9f") + frame(continueEnds, "x\x80"),
			code: 1007,
		},
		{
			name: "§8.1 half a surrogate pair of each",
			send: frame(text, "\xed\xa0\xbd\xed\xb8\x80"),
			code: 1007,
		},
		{
			name: "§8.1 a continuation byte alone",
			send: frame(text, "a\x80"),
			code: 1007,
		},
		{
			name: "§8.1 bytes that never occur",
			send: frame(text, "\xff"),
			code: 1007,
		},
		{
			name: "§8.1 cut off at the end of the fragments",
			send: frame(textBegins, "a") + frame(continues, "\xe2\x82") + frame(continueEnds, ""),
			code: 1007,
		},
		{
			name: "a byte over the limit, from the header",
			send: "\x81\xff\x00\x00\x00\x00\x00\x01\x00\x01" + mask,
			code: 1009,
		},
		{
			name: "far over the limit, from the header",
			send: "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + mask,
			code: 1009,
		},
		{
			name: "over the limit in sum, from the last header",
			send: frame(textBegins, strings.Repeat("a", 60<<10)) + frame(continues, strings.Repeat("b", 5<<10))[:8],
			code: 1009,
		},
	}
	for op := byte(3); op < 16; op++ {
		if op < 8 || op > 10 {
			cases = append(cases, struct {
				name   string
				send   string
				before []string
				code   uint16
			}{
				name: "§5.2 unknown opcode " + string("0123456789abcdef"[op]),
				send: frame(0x80|op, ""),
				code: 1002,
			})
		}
	}
	l := newLoop(t, generous)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l.do(func() {
				client := l.open()
				defer client.hangUp()
				client.send(c.send)
				reason := client.wantClose(t, c.code)
				require.NotEmpty(t, reason)
				require.Equal(t, c.before, client.messages)
			})
		})
	}
}

func TestControlFrames(t *testing.T) { // RFC 6455 §5.5
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		for _, payload := range []string{"", "p", strings.Repeat("p", 125), "\xff\x00"} {
			c.send(frame(ping, payload))
			got, _ := c.receive()
			require.Equal(t, answer(pong, payload), got)
			c.send(frame(pong, payload))
			got, _ = c.receive()
			require.Empty(t, got)
		}
	})
}

func TestManyFragmentsUpToTheLimit(t *testing.T) { // RFC 6455 §5.4
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		for range 2 {
			c.send(frame(textBegins, ""))
			for range 64 {
				c.send(frame(continues, strings.Repeat("f", 1<<10)) + frame(ping, ""))
				c.receive()
			}
			c.send(frame(ping, "counts for itself"))
			c.send(frame(continueEnds, ""))
		}
		whole := strings.Repeat("f", 64<<10)
		require.Equal(t, []string{whole, whole}, c.messages)
	})
}

func TestCloseFrames(t *testing.T) { // RFC 6455 §5.5.1, §7.4
	cases := []struct {
		name string
		body string
		code uint16 // 1002 when the body is refused, else echoed; 0 for an empty answer
	}{
		{name: "empty", body: "", code: 0},
		{name: "one byte", body: "\x03", code: 1002},
		{name: "a reason that is not UTF-8", body: closeBody(1000, "\xff"), code: 1002},
		{name: "a reason", body: closeBody(1001, "grüß gott"), code: 1001},
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, struct {
			name string
			body string
			code uint16
		}{"allowed", closeBody(code, ""), code})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535} {
		cases = append(cases, struct {
			name string
			body string
			code uint16
		}{"refused", closeBody(code, ""), 1002})
	}
	l := newLoop(t, generous)
	l.do(func() {
		for _, c := range cases {
			client := l.open()
			client.send(frame(closes, c.body))
			got, ended := client.receive()
			require.True(t, ended, "%s: %q", c.name, c.body)
			switch {
			case c.code == 0:
				require.Equal(t, answer(closes, ""), got)
			case c.name == "refused":
				require.Equal(t, closeBody(c.code, "PROTOCOL_ERROR: "), got[2:20], "%q", c.body)
			case c.code != 1002:
				require.Equal(t, answer(closes, closeBody(c.code, "")), got, "%s: %q", c.name, c.body)
			default:
				require.Equal(t, closeBody(c.code, ""), got[2:4], "%s: %q", c.name, c.body)
			}
			require.Len(t, client.left, 1)
			client.hangUp()
			require.Equal(t, 1, client.closed)
		}
	})
}

func TestTwoFragmentedMessagesInOnePacket(t *testing.T) { // RFC 6455 §5.4
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		c.send(frame(textBegins, "a") + frame(continueEnds, "b") + frame(textBegins, "") + frame(continueEnds, "c") +
			frame(textBegins, "") + frame(continueEnds, ""))
		require.Equal(t, []string{"ab", "c", ""}, c.messages)
	})
}

// The ends of each range of RFC 3629, and noncharacters, in one frame and cut
// into two fragments at each byte.
func TestValidUTF8(t *testing.T) { // RFC 6455 §8.1
	const whole = "\x00\x7f\u0080\u07ff\u0800\ud7ff\ue000\ufffe\uffff\U00010000\U0010ffff"
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		c.send(frame(text, whole))
		require.Equal(t, []string{whole}, c.messages)
		for cut := range len(whole) {
			c.messages = nil
			c.send(frame(textBegins, whole[:cut]) + frame(continueEnds, whole[cut:]))
			require.Equal(t, []string{whole}, c.messages)
		}
	})
}

func TestEveryMaskingKey(t *testing.T) { // RFC 6455 §5.3
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		for _, key := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x01", "\x80\x40\x20\x10"} {
			for n := range 70 { // longer than the words that the unmasking works in
				message := strings.Repeat("0123456789", 7)[:n]
				masked := []byte(message)
				for i := range masked {
					masked[i] ^= key[i%4]
				}
				c.messages = nil
				c.send("\x81" + string([]byte{0x80 | byte(n)}) + key + string(masked))
				require.Equal(t, []string{message}, c.messages)
			}
		}
	})
}

func TestNothingOfAFormerClientIsLeft(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		for _, unfinished := range []string{
			frame(textBegins, "a secret"),
			frame(text, "a secret")[:9],
			frame(textBegins, "a secret") + frame(continueEnds, "of two parts")[:9],
		} {
			former := l.open()
			former.send(unfinished)
			former.hangUp()
			c := l.open()
			c.send(frame(text, "own")[:7])
			c.send(frame(text, "own")[7:] + frame(textBegins, "o") + frame(continueEnds, "wn"))
			require.Equal(t, []string{"own", "own"}, c.messages)
			require.Empty(t, c.left)
			c.hangUp()
		}
	})
}

func TestBigBuffersAreNotKept(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		var clients []*client
		for range 100 {
			c := l.open()
			c.send(frame(textBegins, strings.Repeat("f", 20<<10)) + frame(continueEnds, strings.Repeat("f", 20<<10))[:15<<10])
			clients = append(clients, c)
		}
		for _, c := range clients {
			c.hangUp()
		}
		require.LessOrEqual(t, l.set.KeptInput(), 64*2*4<<10)
	})
}
