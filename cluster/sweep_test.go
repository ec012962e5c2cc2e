package cluster_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A node that was dead when a sweep began, and is back, keeps its keys.
func TestASweepSparesWhoIsBack(t *testing.T) {
	port := startEngine(t)
	sweeper, back := startNode(t, port), startNode(t, port)
	var clients sync.WaitGroup
	c := back.enter(t, "key", 1, &clients)
	c.open("")
	c.wantOpen()
	require.True(t, sweeper.Sweep(back.Node()))
	require.Equal(t, 1, entries(t, port))
	require.Equal(t, "1", ask(t, port, "sismember", "sigver:nodes", back.Name()))

	// What the dead leave is removed all the same.
	const dead = "0000000000000007"
	ask(t, port, "sadd", "sigver:nodes", dead)
	ask(t, port, "eval", `return redis.call('set', 'sigver:k:theirs', string.rep('\0', 7) .. '\7' .. string.rep('\0', 18))`, "0")
	require.Equal(t, 2, entries(t, port))
	require.True(t, sweeper.Sweep(back.Node(), 7))
	require.Equal(t, 1, entries(t, port))
	require.Equal(t, "0", ask(t, port, "sismember", "sigver:nodes", dead))

	c.Post(c.leave)
	clients.Wait()
	back.Close()
	sweeper.Close()
}
