package conn_test

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/conn"
	"sigver/poller"
	"sigver/protocol"
)

// goes makes c of the loop l move to another when it says "go", and returns who goes
// on for it there. arrived is what its owner says to that.
func (l *loop) goes(c *client, to *loop, arrived func() error) (next *client) {
	l.do(func() {
		next = &client{fd: c.fd}
		c.handle = func(text []byte) error {
			if string(text) == "go" && !c.Move(to.set, &next.Conn, arrived) {
				return errors.New("it stays")
			}
			return nil
		}
	})
	to.do(func() { to.owned(&next.Conn, next) })
	return next
}

func nothing() error { return nil }

func TestMove(t *testing.T) {
	before := openFiles(t)
	t.Run("loops", func(t *testing.T) {
		from, to := newLoop(t, generous), newLoop(t, generous)
		var c, next *client
		from.do(func() { c = from.open() })
		var order []string
		next = from.goes(c, to, func() error {
			order = append(next.messages, "arrived")
			next.Send([]byte("hello"))
			return nil
		})
		from.do(func() {
			c.send(frame(text, "first") + frame(ping, "p") + frame(textBegins, "g") + frame(continueEnds, "o"))
			require.Zero(t, from.set.Len())
			_, err := poller.Write(c.fd, []byte(frame(text, "second")))
			require.NoError(t, err)
		})
		to.until(t, func() bool { return len(next.messages) == 1 })
		to.do(func() {
			require.Equal(t, []string{"arrived"}, order)
			got, _ := next.receive()
			require.Equal(t, answer(pong, "p")+answer(text, "hello"), got)
			next.send(frame(text, "third"))
			require.Equal(t, []string{"second", "third"}, next.messages)
			require.Zero(t, next.opened)
		})
		from.do(func() {
			require.Equal(t, []string{"first", "go"}, c.messages)
			c.Ready() // as an event that the loop had at hand
			c.Send([]byte("nobody gets this"))
			c.Close(protocol.GoingAway, "")
			c.Flush()
			require.Empty(t, c.left)
			require.Zero(t, c.closed)
		})
		to.do(func() {
			got, _ := next.receive()
			require.Empty(t, got)
			next.hangUp()
			require.Equal(t, []protocol.CloseCode{conn.Lost}, next.left)
			require.Equal(t, 1, next.closed)
			require.Zero(t, to.set.Len())
		})
	})
	require.Equal(t, before, openFiles(t))
}

// The loop itself finds what the client sends after it has moved.
func TestMoveOverTCP(t *testing.T) {
	from, to := newLoop(t, generous), newLoop(t, generous)
	c, dialed := from.dial(t)
	next := from.goes(c, to, nothing)
	_, err := io.WriteString(dialed, frame(text, "go"))
	require.NoError(t, err)
	to.until(t, func() bool { return to.set.Len() == 1 })
	for _, message := range []string{"a", "b"} {
		_, err = io.WriteString(dialed, frame(text, message))
		require.NoError(t, err)
		to.until(t, func() bool { return len(next.messages) > 0 && next.messages[len(next.messages)-1] == message })
	}
	require.NoError(t, dialed.Close())
	to.until(t, func() bool { return next.closed == 1 })
}

// Many messages in one packet: TLS has read those behind the move already.
func TestMoveOverTLS(t *testing.T) {
	from, to := newSecureLoop(t, generous), newLoop(t, generous)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			c, wss := from.dialWSS(t, version)
			next := from.goes(c, to, nothing)
			rest := strings.Repeat(frame(text, "message")+frame(ping, ""), 100) + frame(text, strings.Repeat("m", 40<<10))
			for _, record := range []string{frame(text, "go"), rest} {
				_, err := io.WriteString(wss, record)
				require.NoError(t, err)
			}
			to.until(t, func() bool { return len(next.messages) == 101 })
			to.do(func() { next.Send([]byte("an answer")) })
			wantBytes(t, wss, strings.Repeat(answer(pong, ""), 100)+answer(text, "an answer"))
			require.NoError(t, wss.Close())
			to.until(t, func() bool { return next.closed == 1 })
		})
	}
}

func TestAnErrorOnArrivalClosesWithItsCode(t *testing.T) {
	from, to := newLoop(t, generous), newLoop(t, generous)
	var c *client
	from.do(func() { c = from.open() })
	next := from.goes(c, to, func() error { return &protocol.Error{Code: protocol.KeyUnknown, Detail: "no such key"} })
	from.do(func() { c.send(frame(text, "go")) })
	to.until(t, func() bool { return len(next.left) == 1 })
	to.do(func() {
		require.Equal(t, "no such key", next.wantClose(t, uint16(protocol.KeyUnknown))[len("KEY_UNKNOWN: "):])
		require.Empty(t, next.messages)
	})
}

// Who has not read all that was sent to it stays, and so does who is being closed, and
// who has said more than what it would move for.
func TestWhoDoesNotMove(t *testing.T) {
	from, to := newLoop(t, generous), newLoop(t, generous)
	from.do(func() {
		for what, hold := range map[string]func(*client){
			"behind":  func(c *client) { c.fill(100 << 10) },
			"closing": func(c *client) { c.Close(protocol.GoingAway, "") },
			"more":    func(*client) {},
		} {
			c := from.open()
			hold(c)
			moved := true
			c.handle = func(text []byte) error {
				if string(text) == "go" {
					moved = c.Move(to.set, new(conn.Conn), nothing)
				}
				return nil
			}
			if what == "more" {
				c.send(frame(text, "go") + frame(text, "and on")[:1])
				c.send(frame(text, "and on")[1:])
			} else {
				c.send(frame(text, "go"))
				c.send(frame(text, "and on"))
			}
			require.False(t, moved, what)
			require.Equal(t, []string{"go", "and on"}, c.messages, what)
		}
	})
	to.do(func() { require.Zero(t, to.set.Len()) })
}

// A new loop is no new beginning for a client's limits.
func TestLimitsMoveToo(t *testing.T) {
	limits := generous
	limits.Rate, limits.Burst = 1, 5
	limits.Idle = 10 * time.Second
	from, to := newLoop(t, limits), newLoop(t, limits)
	var frames, silent *client
	from.do(func() {
		frames, silent = from.open(), from.open()
		from.set.Advance(limits.Idle - 2*conn.SweepTime)
	})
	to.do(func() { to.set.Advance(limits.Idle - 2*conn.SweepTime) })
	nextFrames, nextSilent := from.goes(frames, to, nothing), from.goes(silent, to, nothing)
	from.do(func() {
		frames.send(strings.Repeat(frame(text, "x"), 3) + frame(text, "go"))
		silent.send(frame(text, "go"))
	})
	to.until(t, func() bool { return to.set.Len() == 2 })
	to.do(func() {
		nextFrames.send(strings.Repeat(frame(text, "x"), 2))
		nextFrames.wantClose(t, uint16(protocol.RateLimited))
		require.Len(t, nextFrames.messages, 1)
		to.set.Advance(3 * conn.SweepTime)
		nextSilent.wantClose(t, uint16(protocol.Idle))
	})
}
