package conn_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sigver/conn"
	"sigver/poller"
	"sigver/protocol"
)

func TestWhatWasQueuedComesBeforeTheClose(t *testing.T) { // RFC 6455 §7.1
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		c.Send([]byte("one"))
		c.Send([]byte("two"))
		c.Close(4010, "taken")
		c.Close(4011, "the first call wins")
		c.Send([]byte("nothing follows a close"))
		got, ended := c.receive()
		require.Equal(t, answer(text, "one")+answer(text, "two")+answer(closes, closeBody(4010, "KEY_EXISTS: taken")), got)
		require.True(t, ended)
		require.Equal(t, []protocol.CloseCode{4010}, c.left)
	})
}

func TestAnErrorFromTheOwnerClosesWithItsCode(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		for err, code := range map[error]uint16{
			&protocol.Error{Code: protocol.KeyError, Detail: "d"}: 4001,
			errors.New("anything else"):                           4000,
		} {
			c := l.open()
			c.handle = func([]byte) error { return err }
			c.send(frame(text, "a") + frame(text, "b"))
			c.wantClose(t, code)
			require.Equal(t, []string{"a"}, c.messages)
			c.hangUp()
		}
	})
}

func TestTheServerWaitsForTheClientsEndButNotForEver(t *testing.T) { // RFC 6455 §7.1.1
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		c.Close(4000, "")
		c.wantClose(t, 4000)
		c.send(strings.Repeat("x", 100<<10)) // is thrown away
		l.set.Advance(conn.CloseTimeout - time.Second)
		require.Zero(t, c.closed)
		l.set.Advance(2 * time.Second)
		require.Equal(t, 1, c.closed)
		require.Zero(t, l.set.Len())

		c = l.open()
		c.Close(4000, "")
		c.wantClose(t, 4000)
		c.hangUp()
		require.Equal(t, 1, c.closed, "the client has ended")
	})
}

func TestAConnectionThatBreaks(t *testing.T) { // RFC 6455 §7.1.5
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		c.hangUp()
		require.Equal(t, []protocol.CloseCode{conn.Lost}, c.left)
		require.Equal(t, 1, c.closed)
		c.Send([]byte("to nobody")) // must not touch a number that is another's
		c.Close(4000, "")
		c.Flush()
		c.Ready()

		c = l.serve()
		c.send("GET / HT")
		c.hangUp()
		require.Empty(t, c.left)
		require.Equal(t, 1, c.closed)
	})
}

func TestAHalfClosedClientStillGetsItsAnswer(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		big := strings.Repeat("b", 800<<10) // more than the socket takes at once
		c.Send([]byte(big))
		c.Flush()
		c.Close(4000, "")
		c.Flush()
		require.NoError(t, poller.ShutdownWrite(c.fd))
		c.Ready()
		require.Zero(t, c.closed)
		var got string
		for ended := false; !ended; {
			var more string
			more, ended = c.receive()
			got += more
		}
		require.Equal(t, answer(text, big)+answer(closes, closeBody(4000, "MESSAGE_ERROR")), got)
		require.Equal(t, 1, c.closed)
	})
}

// A client that does not read is closed, with everything up to the limit before
// the close if it reads after all.
func TestSlowConsumer(t *testing.T) {
	limits := generous
	limits.Unsent = 100 << 10
	l := newLoop(t, limits)
	var c *client
	sent := 0
	l.do(func() {
		c = l.open()
		for len(c.left) == 0 {
			c.Send([]byte(strings.Repeat("s", 10<<10)))
			sent++
			c.Flush()
		}
		require.Equal(t, []protocol.CloseCode{protocol.SlowConsumer}, c.left)
	})
	var got string
	for ended := false; !ended; {
		l.do(func() {
			more, end := c.receive()
			got, ended = got+more, end
		})
	}
	one := answer(text, strings.Repeat("s", 10<<10))
	rest := strings.ReplaceAll(got, one, "")
	require.Equal(t, sent-1, (len(got)-len(rest))/len(one), "all but the message over the limit")
	require.Contains(t, rest, "SLOW_CONSUMER: ")
	l.do(c.hangUp)
}

func TestSlowConsumerThatNeverReadsIsDroppedInTheEnd(t *testing.T) {
	limits := generous
	limits.Unsent = 100 << 10
	l := newLoop(t, limits)
	l.do(func() {
		c := l.open()
		for len(c.left) == 0 {
			c.Send([]byte(strings.Repeat("s", 10<<10)))
			c.Flush()
		}
		l.set.Advance(conn.CloseTimeout + time.Second)
		require.Equal(t, 1, c.closed)
		require.NoError(t, poller.CloseFD(c.fd))
	})
}

// From many goroutines at once, to a client that reads on a real socket: each
// sender's messages arrive whole and in its order, and Close ends it once.
func TestSendFromEverywhere(t *testing.T) {
	limits := generous
	limits.Unsent = 64 << 20
	l := newLoop(t, limits)
	c, dialed := l.dial(t)
	const senders, each = 8, 500
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				c.Send([]byte{byte('a' + s), byte(i >> 8), byte(i)})
			}
		})
	}
	go func() {
		wg.Wait()
		c.Close(4000, "done")
		c.Close(4001, "late")
	}()
	got, err := io.ReadAll(dialed)
	require.NoError(t, err)
	next := [senders]int{}
	for range senders * each {
		require.Equal(t, "\x81\x03", string(got[:2]))
		s := int(got[2] - 'a')
		require.Equal(t, next[s], int(got[3])<<8|int(got[4]))
		next[s]++
		got = got[5:]
	}
	require.Equal(t, answer(closes, closeBody(4000, "MESSAGE_ERROR: done")), string(got))
	require.NoError(t, dialed.Close())
	l.until(t, func() bool { return c.closed == 1 && len(c.left) == 1 })
}

func TestTheServerClosesAfterTheClientsClose(t *testing.T) { // RFC 6455 §7.1.1
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		queued := c.fill(100 << 10)
		c.send(frame(closes, closeBody(1000, "bye")))
		require.Equal(t, []protocol.CloseCode{1000}, c.left)
		require.Zero(t, c.closed, "what was queued is still on its way")
		var got string
		for ended := false; !ended; {
			var more string
			more, ended = c.receive()
			got += more
		}
		require.True(t, queued+answer(closes, closeBody(1000, "")) == got, "%d bytes", len(got))
		require.Equal(t, 1, c.closed, "it does not wait for the client's end")
		require.NoError(t, poller.CloseFD(c.fd))
	})
}

func TestTheClientAnswersOurClose(t *testing.T) { // RFC 6455 §5.5.1
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		c.Close(4000, "")
		c.wantClose(t, 4000)
		c.send(frame(text, "sent before it heard of it") + frame(ping, "") + frame(closes, closeBody(4000, "")))
		require.Empty(t, c.messages)
		require.Len(t, c.left, 1)
		c.hangUp()
		require.Equal(t, 1, c.closed)
		require.Len(t, c.left, 1)
	})
}

func TestKeepOpenDoesNotKeepAClosingConnection(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		c.Close(4000, "")
		c.wantClose(t, 4000)
		c.KeepOpen()
		l.set.Advance(conn.CloseTimeout + time.Second)
		require.Equal(t, 1, c.closed)
		require.NoError(t, poller.CloseFD(c.fd))
	})
}

// The loop learns of a Close from elsewhere although the socket takes nothing.
func TestCloseOfABlockedConnectionIsNoticed(t *testing.T) {
	l := newLoop(t, generous)
	var c *client
	l.do(func() {
		c = l.open()
		c.fill(100 << 10)
	})
	l.do(func() {}) // the flush that fill has asked for is over
	c.Close(4010, "taken")
	l.until(t, func() bool { return len(c.left) == 1 })
	l.do(func() {
		require.Equal(t, []protocol.CloseCode{4010}, c.left)
		c.hangUp()
	})
}

func TestBrokenTCP(t *testing.T) { // RFC 6455 §7.1.5
	cases := []struct {
		name string
		cut  func(*testing.T, *net.TCPConn)
	}{
		{
			name: "a reset",
			cut: func(t *testing.T, dialed *net.TCPConn) {
				require.NoError(t, dialed.SetLinger(0))
				require.NoError(t, dialed.Close())
			},
		},
		{
			name: "the end without a close frame",
			cut:  func(t *testing.T, dialed *net.TCPConn) { require.NoError(t, dialed.Close()) },
		},
		{
			name: "the end of the client's half",
			cut:  func(t *testing.T, dialed *net.TCPConn) { require.NoError(t, dialed.CloseWrite()) },
		},
	}
	limits := generous
	limits.Unsent = 64 << 20
	l := newLoop(t, limits)
	for _, test := range cases {
		for _, blocked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, blocked=%t", test.name, blocked), func(t *testing.T) {
				c, dialed := l.dial(t)
				if blocked {
					l.do(func() { c.fill(beyondTCP) })
				}
				test.cut(t, dialed)
				l.until(t, func() bool { return c.closed > 0 })
				l.do(func() {
					require.Equal(t, []protocol.CloseCode{conn.Lost}, c.left)
					require.Equal(t, 1, c.closed)
					unsent, room := c.Output()
					require.Zero(t, unsent+room)
				})
			})
		}
	}
}

// The loop, left to itself, brings everything to a client that has ended its own
// half, and does not listen for more of it meanwhile, which would spin.
func TestAHalfClosedClientOverTCP(t *testing.T) {
	limits := generous
	limits.Unsent = 64 << 20
	l := newLoop(t, limits)
	c, dialed := l.dial(t)
	var queued string
	l.do(func() {
		queued = c.fill(beyondTCP)
		c.Close(4000, "")
	})
	require.NoError(t, dialed.CloseWrite())
	l.until(t, func() bool { return watched(t, c.near) == poller.Writable })
	got, err := io.ReadAll(dialed)
	require.NoError(t, err)
	require.True(t, queued+answer(closes, closeBody(4000, "MESSAGE_ERROR")) == string(got), "%d bytes", len(got))
	l.until(t, func() bool { return c.closed == 1 })
}

// The same when the end arrives before anything has been written.
func TestAClientThatHalfClosesFirst(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		c := l.open()
		defer c.hangUp()
		c.Send([]byte(strings.Repeat("b", 800<<10)))
		c.handle = func([]byte) error { return errors.New("of the owner's") }
		c.send(frame(text, "m"))
		require.NoError(t, poller.ShutdownWrite(c.fd))
		c.Ready()
		for c.closed == 0 {
			c.Flush()
			if unsent, _ := c.Output(); unsent > 0 {
				require.Equal(t, poller.Writable, watched(t, c.near))
			}
			c.receive()
		}
		require.Equal(t, []protocol.CloseCode{4000}, c.left)
	})
}

func TestServeOnAClosedLoopClosesTheDescriptor(t *testing.T) {
	dead, err := poller.Open(func(error) {})
	require.NoError(t, err)
	set, err := conn.NewSet(dead, &generous, nil, nil)
	require.NoError(t, err)
	require.NoError(t, dead.Close())
	files := openFiles(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	c := &client{fd: fds[1]}
	require.ErrorIs(t, set.Serve(&c.Conn, fds[0]), poller.ErrClosed)
	require.Zero(t, set.Len())
	require.Zero(t, c.closed)
	c.Ready() // is nobody's any more
	require.NoError(t, poller.CloseFD(c.fd))
	require.Equal(t, files, openFiles(t))
}

func TestGoAwayAndDrop(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		half, open, closing := l.serve(), l.open(), l.open()
		half.send("GET / ")
		closing.Close(4000, "")
		closing.Flush()
		l.set.GoAway()
		half.wantRefusal(t, 503)
		open.wantClose(t, 1001)
		closing.wantClose(t, 4000)
		l.set.Drop()
		require.Zero(t, l.set.Len())
		for _, c := range []*client{half, open, closing} {
			require.Equal(t, 1, c.closed)
			require.NoError(t, poller.CloseFD(c.fd))
		}
	})
}

// Thousands come and go in every way that there is.
func TestNothingIsLeft(t *testing.T) {
	l := newLoop(t, generous)
	ways := []func(*client){
		func(*client) {},
		func(c *client) { c.send("GET / HTTP/1.1\r\n") },
		func(c *client) { c.send("nonsense\r\n\r\n") },
		func(c *client) { c.send(request) },
		func(c *client) { c.send(request + frame(text, "hello") + frame(text, "half")[:7]) },
		func(c *client) { c.send(request + frame(textBegins, "half a message")) },
		func(c *client) { c.send(request + frame(closes, closeBody(1000, ""))) },
		func(c *client) { c.send(request + frame(binaryFrame, "")) },
		func(c *client) { c.send(request); c.Send([]byte(strings.Repeat("u", 600<<10))); c.Flush() },
		func(c *client) { c.send(request); c.Close(4000, ""); c.receive() },
	}
	files := openFiles(t)
	l.do(func() {
		for range 300 {
			var clients []*client
			for _, way := range ways {
				c := l.serve()
				way(c)
				clients = append(clients, c)
			}
			for _, c := range clients {
				if c.fd >= 0 {
					require.NoError(t, poller.CloseFD(c.fd))
				}
				for range 100 { // flushes, and reads up to the end
					c.Ready()
					c.Flush()
				}
				require.Equal(t, 1, c.closed)
				require.LessOrEqual(t, len(c.left), 1)
			}
		}
		require.Zero(t, l.set.Len())
	})
	require.Equal(t, files, openFiles(t))
}
