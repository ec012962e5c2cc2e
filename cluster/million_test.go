package cluster_test

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

// crowd is the peers of very many Openers in one.
type crowd struct{ answers chan struct{} }

func (c crowd) Send([]byte)                      { c.answers <- struct{}{} }
func (c crowd) Close(protocol.CloseCode, string) {}
func (c crowd) Post(fn func())                   { fn() }

func redis(tb testing.TB, port string, args ...string) string {
	tb.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-p", port}, args...)...).Output()
	require.NoError(tb, err)
	return string(out)
}

func usedMemory(tb testing.TB, port string) float64 {
	tb.Helper()
	for line := range strings.Lines(redis(tb, port, "INFO", "memory")) {
		if text, found := strings.CutPrefix(line, "used_memory:"); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			require.NoError(tb, err)
			return n
		}
	}
	require.Fail(tb, "no used_memory")
	return 0
}

// BenchmarkAMillionKeys claims a million keys, half of them with a token, lets the
// engine forget them, and waits until it has them all again. Run it with -benchtime
// 1x.
func BenchmarkAMillionKeys(b *testing.B) {
	const (
		keys    = 1_000_000
		waiting = 10_000 // that are asked for at a time
	)
	for range b.N {
		port := startEngine(b)
		n := startNode(b, port)
		empty := usedMemory(b, port)
		sessions := make([]router.Session, keys)
		peers := crowd{make(chan struct{}, waiting)}
		began := time.Now()
		for i := range sessions {
			if i >= waiting {
				<-peers.answers
			}
			n.router.Attach(&sessions[i], peers)
			m := protocol.Message{Kind: protocol.Open, Key: fmt.Appendf(nil, "a key of twenty %d", i)}
			if i%2 == 0 {
				m.Token = fmt.Appendf(nil, "a token of its own %d", i)
			}
			_, err := n.router.Handle(&sessions[i], &m, nil)
			require.NoError(b, err)
		}
		for range waiting {
			<-peers.answers
		}
		b.ReportMetric(keys/time.Since(began).Seconds(), "claims/s")
		require.Equal(b, keys, n.router.Stats().Keys)
		size := func() int {
			count, err := strconv.Atoi(strings.TrimSpace(redis(b, port, "DBSIZE")))
			require.NoError(b, err)
			return count
		}
		require.GreaterOrEqual(b, size(), keys)
		b.ReportMetric((usedMemory(b, port)-empty)/keys, "engine-B/key")

		redis(b, port, "FLUSHALL")
		began = time.Now()
		for size() < keys {
			require.Less(b, time.Since(began), time.Minute)
			time.Sleep(50 * time.Millisecond)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s-to-claim-again")
		n.Close()
	}
}
