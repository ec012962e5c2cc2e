//go:build !race

package conn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// From the bytes of one client to those of another, and from a ping to its pong:
// nothing is allocated.
func TestRelayAllocatesNothing(t *testing.T) {
	l := newLoop(t, generous)
	for _, size := range []int{10, 200, 2000} {
		l.do(func() {
			from, to := l.echoes()
			defer from.end()
			defer to.end()
			message, beat := []byte(frame(text, strings.Repeat("x", size))), []byte(frame(ping, "p"))
			buf := make([]byte, 4096)
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				from.pass(message)
				to.drain(buf)
			}), "%d bytes", size)
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				from.pass(beat)
				from.drain(buf)
			}))
		})
	}
}
