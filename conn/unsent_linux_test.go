package conn_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/conn"
)

// What waits for a client counts until the socket has taken it, encrypted or not.
func TestUnsentBytesAreCounted(t *testing.T) {
	limits := generous
	limits.Unsent = 2 * beyondTCP
	l := newSecureLoop(t, limits)
	c, _ := l.dialWSS(t)
	var stats conn.Stats
	plain := 0
	l.do(func() {
		c.fill(100 << 10)
		l.set.Stats(&stats)
		plain, _ = c.Output()
	})
	require.Greater(t, stats.Unsent, plain, "some of it is encrypted already")
}
