package poller_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sigver/poller"
)

const patience = 10 * time.Second

// pair returns the two ends of a connected, non-blocking stream.
func pair(t testing.TB) (int, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	return fds[0], fds[1]
}

// onLoop runs f on the loop and waits for it.
func onLoop(t testing.TB, l *poller.Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	l.Post(func() { f(); close(done) })
	wait(t, done)
}

func wait(t testing.TB, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(t, "nothing happened in time")
	}
}

// flushes counts its calls.
type flushes struct{ n atomic.Int32 }

func (f *flushes) Flush() { f.n.Add(1) }

func TestReadableIsToldUntilItIsRead(t *testing.T) {
	l := startLoop(t)
	a, b := pair(t)
	defer poller.CloseFD(a)
	defer poller.CloseFD(b)
	calls, done := 0, make(chan struct{})
	require.NoError(t, l.Add(a, func(r poller.Readiness) {
		require.NotZero(t, r&poller.Readable)
		if calls++; calls < 3 {
			return // level-triggered: it comes again
		}
		n, err := poller.Read(a, make([]byte, 10))
		require.NoError(t, err)
		require.Equal(t, 5, n)
		close(done)
	}))
	_, err := poller.Write(b, []byte("hello"))
	require.NoError(t, err)
	wait(t, done)
	require.NoError(t, l.Remove(a))
}

// Many sockets that are ready in one batch, each marked to be flushed by its
// callback: the flushes come after all callbacks, and once each.
func TestFlushComesOnceAndAfterTheBatch(t *testing.T) {
	l := startLoop(t)
	const sockets = 50
	var ends [sockets][2]int
	var counts [sockets]int
	seen, flushed, early := 0, 0, 0
	done := make(chan struct{})
	for i := range ends {
		ends[i][0], ends[i][1] = pair(t)
		_, err := poller.Write(ends[i][1], []byte("x"))
		require.NoError(t, err)
	}
	// All are added at once on the loop, so its next batch has all of them.
	onLoop(t, l, func() {
		for i, end := range ends {
			f := flusherFunc(func() {
				counts[i]++
				if seen < sockets {
					early++
				}
				if flushed++; flushed == sockets {
					close(done)
				}
			})
			require.NoError(t, l.Add(end[0], func(poller.Readiness) {
				_, err := poller.Read(end[0], make([]byte, 1))
				require.NoError(t, err)
				seen++
				l.AtBatchEnd(&f)
			}))
		}
	})
	wait(t, done)
	onLoop(t, l, func() {
		require.Zero(t, early, "a flush came before the last callback of the batch")
		for i, end := range ends {
			require.Equal(t, 1, counts[i])
			require.NoError(t, l.Remove(end[0]))
			require.NoError(t, poller.CloseFD(end[0]))
			require.NoError(t, poller.CloseFD(end[1]))
		}
	})
}

type flusherFunc func()

func (f *flusherFunc) Flush() { (*f)() }

func TestFlushBelongsToTheLoopAndComesForEveryone(t *testing.T) {
	l := startLoop(t)
	var f flushes
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				l.AtBatchEnd(&f)
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool { return f.n.Load() == 8000 }, patience, time.Millisecond)
}

// More batches than a byte-sized counter has room for.
func TestWakeUpNeverWearsOut(t *testing.T) {
	l := startLoop(t)
	for range 5000 {
		onLoop(t, l, func() {})
	}
}

func TestFlushThatMarksAgainIsServed(t *testing.T) {
	l := startLoop(t)
	done := make(chan struct{})
	rounds := 0
	var f flusherFunc
	f = func() {
		if rounds++; rounds == 3 {
			close(done)
			return
		}
		l.AtBatchEnd(&f)
	}
	l.AtBatchEnd(&f)
	wait(t, done)
}

// The callbacks of a batch are chosen before the first runs: one that closes the
// other's socket must be able to rely on the other to notice by its state.
func TestCallbackOfASocketClosedByAnEarlierOne(t *testing.T) {
	l := startLoop(t)
	type socket struct {
		fd     int
		closed bool
		late   int
	}
	var sockets [2]*socket
	done := make(chan struct{})
	closed := 0
	for i := range sockets {
		a, b := pair(t)
		defer poller.CloseFD(b)
		_, err := poller.Write(b, []byte("x"))
		require.NoError(t, err)
		sockets[i] = &socket{fd: a}
	}
	onLoop(t, l, func() {
		for i, s := range sockets {
			other := sockets[1-i]
			require.NoError(t, l.Add(s.fd, func(poller.Readiness) {
				if s.closed {
					s.late++
					return
				}
				for _, victim := range []*socket{s, other} {
					if !victim.closed {
						victim.closed = true
						require.NoError(t, l.Remove(victim.fd))
						require.NoError(t, poller.CloseFD(victim.fd))
						closed++
					}
				}
				close(done)
			}))
		}
	})
	wait(t, done)
	onLoop(t, l, func() {
		require.Equal(t, 2, closed)
		require.LessOrEqual(t, sockets[0].late+sockets[1].late, 1)
	})
}

func TestWriteInterestComesWhenThereIsRoomAgain(t *testing.T) {
	l := startLoop(t)
	a, b := pair(t)
	defer poller.CloseFD(a)
	defer poller.CloseFD(b)
	chunk := make([]byte, 64<<10)
	for {
		if _, err := poller.Write(a, chunk); err != nil {
			require.ErrorIs(t, err, poller.ErrAgain)
			break
		}
	}
	writable := make(chan struct{}, 1)
	require.NoError(t, l.Add(a, func(r poller.Readiness) {
		if r&poller.Writable != 0 {
			require.NoError(t, l.Watch(a, poller.Readable))
			writable <- struct{}{}
		}
	}))
	require.NoError(t, l.Watch(a, poller.Readable|poller.Writable))
	onLoop(t, l, func() {})
	require.Empty(t, writable)
	for {
		if _, err := poller.Read(b, chunk); err != nil {
			require.ErrorIs(t, err, poller.ErrAgain)
			break
		}
	}
	wait(t, writable)
	require.NoError(t, l.Remove(a))
}

func TestFailedAddLeavesNothingBehind(t *testing.T) {
	l := startLoop(t)
	a, b := pair(t)
	require.NoError(t, poller.CloseFD(a))
	require.Error(t, l.Add(a, func(poller.Readiness) {}))
	// The number is used again at once, and must be free in the loop too.
	c, d := pair(t)
	require.Equal(t, a, c)
	require.NoError(t, l.Add(c, func(poller.Readiness) {}))
	require.NoError(t, l.Remove(c))
	for _, fd := range []int{b, c, d} {
		require.NoError(t, poller.CloseFD(fd))
	}
}

func TestEveryTicksUntilTheLoopIsClosed(t *testing.T) {
	l := startLoop(t)
	var ticks atomic.Int32
	require.NoError(t, l.Every(time.Millisecond, func() { ticks.Add(1) }))
	require.Eventually(t, func() bool { return ticks.Load() > 20 }, patience, time.Millisecond)
}

func TestThousandsOfSocketsLeaveNothing(t *testing.T) {
	before := openFiles(t)
	l, err := poller.Open(func(err error) { t.Errorf("loop died: %v", err) })
	require.NoError(t, err)
	const sockets = 4000
	heard := make(chan struct{}, sockets)
	ends := make([][2]int, sockets)
	for i := range ends {
		a, b := pair(t)
		ends[i] = [2]int{a, b}
		require.NoError(t, l.Add(a, func(poller.Readiness) {
			if _, err := poller.Read(a, make([]byte, 8)); err == nil {
				heard <- struct{}{}
			}
		}))
	}
	for _, e := range ends {
		_, err := poller.Write(e[1], []byte("x"))
		require.NoError(t, err)
	}
	for range ends {
		wait(t, heard)
	}
	onLoop(t, l, func() {
		for _, e := range ends {
			require.NoError(t, l.Remove(e[0]))
			require.NoError(t, poller.CloseFD(e[0]))
			require.NoError(t, poller.CloseFD(e[1]))
		}
	})
	require.NoError(t, l.Close())
	require.Equal(t, before, openFiles(t))
}

func TestClosedLoopRefuses(t *testing.T) {
	l, err := poller.Open(func(error) {})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	a, b := pair(t)
	require.ErrorIs(t, l.Add(a, func(poller.Readiness) {}), poller.ErrClosed)
	require.NoError(t, poller.CloseFD(a))
	require.NoError(t, poller.CloseFD(b))
}

func TestListenAndAccept(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "::1", "::"} {
		t.Run(host, func(t *testing.T) {
			listener, err := poller.Listen(netip.AddrPortFrom(netip.MustParseAddr(host), 0), false)
			require.NoError(t, err)
			defer poller.CloseFD(listener)
			bound, err := poller.LocalAddr(listener)
			require.NoError(t, err)
			require.NotZero(t, bound.Port())
			require.Equal(t, host, bound.Addr().String())

			_, err = poller.Accept(listener)
			require.ErrorIs(t, err, poller.ErrAgain)

			_, err = poller.Listen(bound, false)
			require.ErrorIs(t, err, unix.EADDRINUSE)
			_, err = poller.Listen(bound, true)
			require.ErrorIs(t, err, unix.EADDRINUSE, "a shared socket must not join one that is not")
		})
	}
}

func TestAcceptedSocketsDoNotWaitAndDoNotDelay(t *testing.T) {
	listener, err := poller.Listen(netip.MustParseAddrPort("127.0.0.1:0"), true)
	require.NoError(t, err)
	defer poller.CloseFD(listener)
	require.NoError(t, poller.GiveUpAfter(listener, 3*time.Second))
	addr, err := poller.LocalAddr(listener)
	require.NoError(t, err)
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer poller.CloseFD(client)
	require.NoError(t, unix.Connect(client, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}))

	var fd int
	require.Eventually(t, func() bool {
		fd, err = poller.Accept(listener)
		return err == nil
	}, patience, time.Millisecond)
	defer poller.CloseFD(fd)
	_, err = poller.Read(fd, make([]byte, 1))
	require.ErrorIs(t, err, poller.ErrAgain)
	patienceOfKernel, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	require.NoError(t, err)
	require.Equal(t, 3000, patienceOfKernel)
	nodelay, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
	require.NoError(t, err)
	require.NotZero(t, nodelay)

	require.NoError(t, poller.ShutdownWrite(fd))
	n, err := unix.Read(client, make([]byte, 1))
	require.NoError(t, err)
	require.Zero(t, n, "the client must read the end of the stream")
}
