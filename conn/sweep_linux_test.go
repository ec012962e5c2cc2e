package conn_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/poller"
	"sigver/protocol"
)

const second = time.Second

func TestHandshakeTimeout(t *testing.T) {
	limits := generous
	limits.Handshake = 10 * second
	l := newLoop(t, limits)
	l.do(func() {
		silent, half := l.serve(), l.serve()
		l.set.Advance(8 * second)
		half.send(request[:50]) // does not buy more time
		_, ended := half.receive()
		require.False(t, ended)
		l.set.Advance(3 * second)
		silent.wantRefusal(t, http.StatusRequestTimeout)
		half.wantRefusal(t, http.StatusRequestTimeout)
		silent.hangUp()
		half.hangUp()
	})
}

func TestIdleTimeoutEndsWithKeepOpen(t *testing.T) {
	limits := generous
	limits.Idle = 10 * second
	l := newLoop(t, limits)
	l.do(func() {
		idle, kept := l.open(), l.open()
		kept.KeepOpen()
		l.set.Advance(8 * second)
		idle.send(frame(ping, "")) // nor does this
		idle.receive()
		l.set.Advance(3 * second)
		idle.wantClose(t, 4003)
		l.set.Advance(1000 * second)
		require.Empty(t, kept.left)
		idle.hangUp()
		kept.hangUp()
	})
}

func TestHeartbeat(t *testing.T) {
	limits := generous
	limits.Heartbeat = 10 * second
	l := newLoop(t, limits)
	l.do(func() {
		alive, dead := l.open(), l.open()
		alive.KeepOpen()
		dead.KeepOpen()
		var heard string
		for range 10 { // of silence, ping and pong
			l.set.Advance(9 * second)
			got, _ := alive.receive()
			require.Empty(t, got, "not yet")
			l.set.Advance(2 * second)
			got, _ = alive.receive()
			require.Equal(t, answer(ping, ""), got)
			alive.send(frame(pong, ""))
			more, _ := dead.receive()
			heard += more
		}
		require.Empty(t, alive.left)
		require.Equal(t, []protocol.CloseCode{protocol.HeartbeatTimeout}, dead.left)
		require.True(t, strings.HasPrefix(heard, answer(ping, "")+"\x88"), "%q", heard)
		require.Contains(t, heard, "HEARTBEAT_TIMEOUT: ")
		alive.hangUp()
		dead.hangUp()
	})
}

func TestWithoutHeartbeatSilenceIsFine(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		c.KeepOpen()
		l.set.Advance(24 * time.Hour)
		got, _ := c.receive()
		require.Empty(t, got)
		require.Empty(t, c.left)
		c.hangUp()
	})
}

func TestRate(t *testing.T) {
	limits := generous
	limits.Rate, limits.Burst = 10, 20
	l := newLoop(t, limits)
	l.do(func() {
		steady, greedy := l.open(), l.open()
		steady.KeepOpen()
		greedy.KeepOpen()
		steady.send(strings.Repeat(frame(text, "s"), 20))
		for range 50 {
			l.set.Advance(second)
			steady.send(strings.Repeat(frame(text, "s"), 9))
		}
		require.Empty(t, steady.left)
		require.Len(t, steady.messages, 20+50*9)

		greedy.send(strings.Repeat(frame(text, "g"), 20))
		l.set.Advance(second)
		greedy.send(strings.Repeat(frame(ping, ""), 12))
		require.Equal(t, []protocol.CloseCode{protocol.RateLimited}, greedy.left)
		steady.hangUp()
		greedy.hangUp()
	})
}

func TestQuietTimeIsNotSavedUpBeyondTheBurst(t *testing.T) {
	limits := generous
	limits.Rate, limits.Burst = 10, 20
	l := newLoop(t, limits)
	l.do(func() {
		c := l.open()
		c.KeepOpen()
		l.set.Advance(time.Hour)
		c.send(strings.Repeat(frame(text, "x"), 21))
		require.Len(t, c.messages, 20)
		c.wantClose(t, 4029)
		c.hangUp()
	})
}

// Connections come and go between the steps of a sweep: nobody is passed over.
func TestTheSweepFindsEveryone(t *testing.T) {
	limits := generous
	limits.Idle = 5 * second
	l := newLoop(t, limits)
	l.do(func() {
		var clients []*client
		for i := range 200 {
			c := l.open()
			if i%3 == 0 {
				c.hangUp()
				continue
			}
			clients = append(clients, c)
		}
		l.set.Advance(6 * second)
		for _, c := range clients {
			c.wantClose(t, 4003)
			c.hangUp()
		}
		require.Zero(t, l.set.Len())
	})
}

func TestNoLimitsOfTime(t *testing.T) {
	limits := generous
	limits.Handshake, limits.Idle = 0, 0
	l := newLoop(t, limits)
	l.do(func() {
		silent, open := l.serve(), l.open()
		l.set.Advance(24 * time.Hour)
		for _, c := range []*client{silent, open} {
			got, ended := c.receive()
			require.Empty(t, got)
			require.False(t, ended)
		}
		silent.hangUp()
		open.hangUp()
	})
}

// The set's clock has 32 bits of milliseconds: limits hold across its wrap too.
func TestTheClockWraps(t *testing.T) {
	const wrap = time.Duration(1<<32) * time.Millisecond
	limits := generous
	limits.Handshake, limits.Idle, limits.Heartbeat = 10*second, 10*second, 10*second
	limits.Rate, limits.Burst = 10, 20
	l := newLoop(t, limits)
	l.do(func() {
		l.set.Advance(wrap - 5*second)
		silent, idle, kept, quiet, closing := l.serve(), l.open(), l.open(), l.open(), l.open()
		kept.KeepOpen()
		quiet.KeepOpen()
		kept.send(strings.Repeat(frame(text, "k"), 20))
		closing.Close(4000, "")
		closing.wantClose(t, 4000)

		l.set.Advance(4 * second)
		require.Zero(t, silent.closed+len(idle.left)+closing.closed, "before the wrap, and early")
		l.set.Advance(4 * second)
		got, ended := silent.receive()
		require.False(t, ended, "%q", got)
		require.Empty(t, idle.left, "after the wrap, and early")
		require.Equal(t, 1, closing.closed)
		kept.send(strings.Repeat(frame(text, "k"), 20))
		require.Empty(t, kept.left)
		got, _ = quiet.receive()
		require.Empty(t, got)
		l.set.Advance(3 * second)
		silent.wantRefusal(t, http.StatusRequestTimeout)
		idle.receive()
		require.Equal(t, []protocol.CloseCode{protocol.Idle}, idle.left)
		got, _ = quiet.receive()
		require.Equal(t, answer(ping, ""), got)
		got, _ = kept.receive()
		require.Empty(t, got, "it has been heard since")

		silent.hangUp()
		idle.hangUp()
		kept.hangUp()
		quiet.hangUp()
		require.NoError(t, poller.CloseFD(closing.fd))
	})
}

// When the loop or the machine stood still, it is not the clients who were silent: each
// has two intervals after its ping, and one if it was pinged before.
func TestHeartbeatAfterAStandstill(t *testing.T) {
	limits := generous
	limits.Heartbeat = 10 * second
	l := newLoop(t, limits)
	l.do(func() {
		pinged, quiet, dead := l.open(), l.open(), l.open()
		all := []*client{pinged, quiet, dead}
		for _, c := range all {
			c.KeepOpen()
		}
		l.set.Advance(9 * second)
		quiet.send(frame(pong, ""))
		l.set.Advance(2 * second)
		for _, c := range []*client{pinged, dead} {
			got, _ := c.receive()
			require.Equal(t, answer(ping, ""), got)
		}
		l.set.Advance(100 * second)
		for _, c := range all {
			require.Empty(t, c.left)
		}
		got, _ := quiet.receive()
		require.Equal(t, answer(ping, ""), got)
		pinged.send(frame(pong, "")) // which was on its way
		l.set.Advance(9 * second)
		require.Empty(t, dead.left)
		l.set.Advance(2 * second)
		require.Equal(t, []protocol.CloseCode{protocol.HeartbeatTimeout}, dead.left)
		got, _ = pinged.receive()
		require.Equal(t, answer(ping, ""), got)
		pinged.send(frame(pong, ""))
		l.set.Advance(8 * second)
		require.Empty(t, quiet.left, "two intervals are not over")
		l.set.Advance(2 * second)
		require.Equal(t, []protocol.CloseCode{protocol.HeartbeatTimeout}, quiet.left)
		require.Empty(t, pinged.left)
		for _, c := range all {
			c.hangUp()
		}
	})
}

// A ping neither adds to what a client may send nor takes anything away.
func TestALatePingLeavesTheRate(t *testing.T) {
	limits := generous
	limits.Heartbeat, limits.Rate, limits.Burst = 10*second, 1, 100
	l := newLoop(t, limits)
	l.do(func() {
		c := l.open()
		c.KeepOpen()
		c.send(strings.Repeat(frame(text, "x"), 100))
		l.set.Advance(25 * second)
		got, _ := c.receive()
		require.Equal(t, answer(ping, ""), got)
		l.set.Advance(5 * second)
		c.send(strings.Repeat(frame(text, "x"), 30))
		require.Empty(t, c.left)
		c.send(frame(text, "x"))
		require.Equal(t, []protocol.CloseCode{protocol.RateLimited}, c.left)
		c.hangUp()
	})
}
