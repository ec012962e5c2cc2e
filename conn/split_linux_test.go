package conn_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

// outcome is all that a client and the owner of its connection can see.
type outcome struct {
	messages []string
	output   string
	visit    string // what was handed over
	left     []protocol.CloseCode
}

// play sends a session in pieces that end at the given places. Loop only.
func (l *loop) play(session string, cuts ...int) outcome {
	c := l.serve()
	defer c.hangUp()
	from := 0
	for _, cut := range append(cuts, len(session)) {
		c.send(session[from:cut])
		from = cut
	}
	output, _ := c.receive()
	require.LessOrEqual(l.t, len(c.left), 1)
	return outcome{c.messages, output, c.visit(), c.left}
}

// visit ends the client's side and reads what its visitor finds.
func (c *client) visit() string {
	if c.visitor == nil {
		return ""
	}
	c.hangUp()
	got, err := io.ReadAll(c.visitor)
	_ = c.visitor.Close()
	return fmt.Sprint(string(got), err)
}

var sessions = map[string]string{
	"messages and a close": request +
		frame(text, `{"open":"k"}`) +
		frame(text, strings.Repeat("x", 200)) +
		frame(text, "") +
		frame(closes, closeBody(1000, "bye")),
	"fragments with control frames between": request +
		frame(textBegins, "grüß") + frame(ping, "are you there") +
		frame(continues, "") + frame(pong, "") +
		frame(continueEnds, " gott") +
		frame(text, "next") +
		frame(closes, closeBody(4321, "")),
	"a character split over fragments": request +
		frame(textBegins, "\xf0\x9f") + frame(continueEnds, "\x98\x80"),
	"what follows an error is not looked at": request +
		frame(text, "good") + frame(binaryFrame, "bad") + frame(text, "late"),
	"what follows a close is not looked at": request +
		frame(closes, "") + frame(text, "late") + frame(ping, "late"),
	"the end in the middle of a frame": request +
		frame(text, "good") + frame(text, "cut off")[:9],
	"a refused handshake": strings.Replace(request, ": 13", ": 12", 1) +
		frame(text, "late"),
}

func TestHoweverTheStreamIsCutTheOutcomeIsTheSame(t *testing.T) {
	l := newLoop(t, generous)
	for name, session := range sessions {
		t.Run(name, func(t *testing.T) {
			l.do(func() {
				whole := l.play(session)
				require.NotEmpty(t, whole.output)
				for cut := range len(session) {
					require.Equal(t, whole, l.play(session, cut), "cut at %d", cut)
				}
				everywhere := make([]int, len(session))
				for i := range everywhere {
					everywhere[i] = i
				}
				require.Equal(t, whole, l.play(session, everywhere...), "byte by byte")
			})
		})
	}
}

func TestSessionsMeanWhatTheySay(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		o := l.play(sessions["fragments with control frames between"])
		require.Equal(t, []string{"grüß gott", "next"}, o.messages)
		require.Equal(t, accepted+answer(pong, "are you there")+answer(closes, closeBody(4321, "")), o.output)
		require.Equal(t, []protocol.CloseCode{4321}, o.left)

		o = l.play(sessions["a character split over fragments"])
		require.Equal(t, []string{"😀"}, o.messages)

		o = l.play(sessions["what follows an error is not looked at"])
		require.Equal(t, []string{"good"}, o.messages)
		require.Equal(t, []protocol.CloseCode{1003}, o.left)

		o = l.play(sessions["the end in the middle of a frame"])
		require.Equal(t, []string{"good"}, o.messages)
		require.Empty(t, o.left)
	})
}

// A frame of the 64-bit length form: too long to be cut everywhere, so it is cut
// around its ends and at a few thousand places between.
func TestALongFrameMayBeCutToo(t *testing.T) { // RFC 6455 §5.2
	limits := generous
	limits.Message = 1 << 20
	l := newLoop(t, limits)
	session := request + frame(text, strings.Repeat("long ", 14000)) + frame(text, "short")
	l.do(func() {
		whole := l.play(session)
		require.Len(t, whole.messages, 2)
		long := len(request) + 70014
		for cut := len(request) - 5; cut < len(session); cut++ {
			require.Equal(t, whole, l.play(session, cut), "cut at %d", cut)
			if cut > len(request)+50 && cut < long-50 {
				cut += 300
			}
		}
		var packets []int
		for cut := 1400; cut < len(session); cut += 1400 {
			packets = append(packets, cut)
		}
		require.Equal(t, whole, l.play(session, packets...))
	})
}

// Wherever a stream breaks off, what was whole has been delivered and nothing
// else, and the owner hears once that the client is gone.
func TestTheStreamMayEndAnywhere(t *testing.T) {
	l := newLoop(t, generous)
	for name, session := range sessions {
		t.Run(name, func(t *testing.T) {
			l.do(func() {
				whole := l.play(session)
				for end := range len(session) {
					c := l.serve()
					c.send(session[:end])
					before := len(c.messages)
					c.hangUp()
					c.Flush() // of an answer that nobody is there for
					require.Len(t, c.messages, before)
					for i, message := range c.messages {
						require.Equal(t, whole.messages[i], message, "ends at %d", end)
					}
					require.Equal(t, 1, c.closed)
					require.Len(t, c.left, c.opened)
				}
				require.Zero(t, l.set.Len())
			})
		})
	}
}
