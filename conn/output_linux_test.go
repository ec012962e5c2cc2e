package conn_test

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/conn"
	"sigver/poller"
	"sigver/protocol"
)

// A client that reads, but is always behind, gets all of it, and what it has read
// takes no memory: the buffer is as large as what waits, not as what has passed.
func TestAClientThatIsAlwaysBehind(t *testing.T) {
	limits := generous
	limits.Unsent = 450 << 10 // of which what was sent is no part
	l := newLoop(t, limits)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		expected := c.fill(400 << 10)
		random := rand.New(rand.NewPCG(1, 2))
		buf := make([]byte, 20<<10)
		take := func(most int) {
			n, err := poller.Read(c.fd, buf[:most])
			if n == 0 {
				require.ErrorIs(t, err, poller.ErrAgain)
			}
			require.True(t, strings.HasPrefix(expected, string(buf[:n])), "bytes are missing, doubled or changed")
			expected = expected[n:]
		}
		largest, passed := 0, 0
		for passed < 6<<20 {
			size := random.IntN(10 << 10)
			message := strings.Repeat(string(rune('a'+random.IntN(26))), size)
			c.Send([]byte(message))
			expected += answer(text, message)
			passed += size
			for unsent, _ := c.Output(); unsent > 400<<10; unsent, _ = c.Output() {
				take(1 + random.IntN(len(buf)))
				c.Flush()
			}
			unsent, room := c.Output()
			require.NotZero(t, unsent, "it has caught up: this tests nothing")
			largest = max(largest, room)
		}
		require.Less(t, largest, 2<<20)
		for expected != "" {
			take(len(buf))
			c.Flush()
		}
		unsent, room := c.Output()
		require.Zero(t, unsent+room)
		require.Empty(t, c.left)
	})
}

// The loop, left to itself, goes on when a client that takes its time makes room.
func TestABigQueueOverTCP(t *testing.T) {
	limits := generous
	limits.Unsent = 64 << 20
	l := newLoop(t, limits)
	c, dialed := l.dial(t)
	var whole string
	l.do(func() { whole = c.fill(beyondTCP) })
	l.until(t, func() bool { return watched(t, c.near) == poller.Readable|poller.Writable })
	got := make([]byte, len(whole))
	_, err := io.ReadFull(dialed, got)
	require.NoError(t, err)
	require.True(t, whole == string(got))
	l.until(t, func() bool { return watched(t, c.near) == poller.Readable })
}

func TestASlowConsumerHoldsUpNobodyAndItsMemoryComesBack(t *testing.T) {
	limits := generous
	limits.Unsent = 100 << 10
	l := newLoop(t, limits)
	l.do(func() {
		slow, other := l.open(), l.open()
		defer other.hangUp()
		message := strings.Repeat("s", 10<<10)
		for len(slow.left) == 0 {
			slow.Send([]byte(message))
			slow.Flush()
			other.Send([]byte(message))
			got, ended := other.receive()
			require.Equal(t, answer(text, message), got)
			require.False(t, ended)
			unsent, _ := slow.Output()
			require.LessOrEqual(t, unsent, limits.Unsent+len(message))
		}
		l.set.Advance(conn.CloseTimeout + time.Second)
		require.Equal(t, 1, slow.closed)
		unsent, room := slow.Output()
		require.Zero(t, unsent+room)
		require.Empty(t, other.left)
		require.NoError(t, poller.CloseFD(slow.fd))
	})
}

func TestPongsThatNobodyReadsAreLimitedToo(t *testing.T) {
	limits := generous
	limits.Unsent = 10 << 10
	l := newLoop(t, limits)
	l.do(func() {
		c := l.open()
		flood := strings.Repeat(frame(ping, strings.Repeat("p", 125)), 100)
		for len(c.left) == 0 {
			c.send(flood)
			c.Flush()
			unsent, _ := c.Output()
			require.LessOrEqual(t, unsent, limits.Unsent+1<<10)
		}
		require.Equal(t, []protocol.CloseCode{protocol.SlowConsumer}, c.left)
		c.hangUp()
	})
}

// Whoever is behind the limit is found out by the sender, on whatever goroutine;
// the owner hears of it on the loop, once.
func TestASlowConsumerIsToldOnTheLoop(t *testing.T) {
	limits := generous
	limits.Unsent = 100 << 10
	l := newLoop(t, limits)
	c, _ := l.dial(t)
	gone := make(chan struct{})
	for range 4 {
		go func() {
			for message := make([]byte, 10<<10); ; {
				select {
				case <-gone:
					return
				default:
					c.Send(message)
				}
			}
		}()
	}
	l.until(t, func() bool { return len(c.left) > 0 })
	close(gone)
	l.do(func() { l.set.Advance(conn.CloseTimeout + time.Second) })
	l.do(func() {
		require.Equal(t, []protocol.CloseCode{protocol.SlowConsumer}, c.left)
		require.Equal(t, 1, c.closed)
	})
}

func TestTheBufferOfABigMessageIsNotKept(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		for range 10 {
			c.Send([]byte(strings.Repeat("b", 500<<10)))
			for unsent := 1; unsent > 0; unsent, _ = c.Output() {
				c.receive()
			}
			c.Send([]byte("small"))
			_, room := c.Output()
			require.LessOrEqual(t, room, 64<<10)
			c.receive()
		}
	})
}
