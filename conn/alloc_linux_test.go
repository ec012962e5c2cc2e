//go:build !race

package conn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// From the bytes of one client to those of another, whole, in two packets or in
// two fragments, and from a ping to its pong: nothing is allocated.
func TestRelayAllocatesNothing(t *testing.T) {
	l := newLoop(t, generous)
	for _, size := range []int{10, 200, 2000} {
		l.do(func() {
			from, to := l.echoes()
			defer from.end()
			defer to.end()
			message, beat := []byte(frame(text, strings.Repeat("x", size))), []byte(frame(ping, "p"))
			half := len(message) / 2
			fragments := []byte(frame(textBegins, strings.Repeat("x", size)) + frame(continueEnds, "y"))
			buf := make([]byte, 4096)
			requireNoAllocations(t, func() {
				from.pass(message)
				to.drain(buf)
			}, "%d bytes", size)
			requireNoAllocations(t, func() {
				from.pass(message[:half])
				from.pass(message[half:])
				to.drain(buf)
			}, "%d bytes in two packets", size)
			requireNoAllocations(t, func() {
				from.pass(fragments)
				to.drain(buf)
			}, "%d bytes in two fragments", size)
			requireNoAllocations(t, func() {
				from.pass(beat)
				from.drain(buf)
			}, "a ping")
		})
	}
}

// requireNoAllocations runs f thousands of times, since one allocation in two
// runs is none to AllocsPerRun, which rounds down. The few that it lets pass are
// the loop's list of flushes, which grows because the loop is waiting for us, and
// what the garbage collector takes out of pools.
func requireNoAllocations(t *testing.T, f func(), what ...any) {
	t.Helper()
	require.Less(t, testing.AllocsPerRun(10, func() {
		for range 1000 {
			f()
		}
	}), 10.0, what...)
}
