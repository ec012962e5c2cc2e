package poller_test

import (
	"os"
	"os/signal"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sigver/poller"
)

// interruptions counts how often the runtime interrupts a goroutine while f runs: it
// does so by SIGURG, which programs may see too.
func interruptions(f func()) int {
	signals := make(chan os.Signal, 1000)
	signal.Notify(signals, unix.SIGURG)
	f()
	signal.Stop(signals)
	return len(signals)
}

func spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}

// The runtime interrupts a goroutine that is busy for long, but not a busy loop.
func TestABusyLoopIsNotInterrupted(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which interrupts everyone
	const long = 300 * time.Millisecond

	l := startLoop(t)
	a, b := pair(t)
	defer poller.CloseFD(a)
	defer poller.CloseFD(b)
	var f flushes
	busy := func() {
		done := make(chan struct{})
		end := time.Now().Add(long)
		require.NoError(t, l.Add(a, func(poller.Readiness) { // time after time: nobody reads
			spin(500 * time.Microsecond)
			l.AtBatchEnd(&f)
			if time.Now().After(end) {
				require.NoError(t, l.Remove(a))
				close(done)
			}
		}))
		wait(t, done)
	}
	_, err := poller.Write(b, []byte("x"))
	require.NoError(t, err)

	// A machine with much else to do may stop a loop for as long as the runtime
	// waits, but not always.
	require.Eventually(t, func() bool {
		others, loops := interruptions(func() { spin(long) }), interruptions(busy)
		t.Logf("interrupted in %v: another goroutine %d times, a loop %d times", long, others, loops)
		return others > 5 && loops <= others/3
	}, patience, time.Millisecond)
}
