//go:build linux

package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
	"sigver/bench/wire"
)

// drivers starts some that end with the test.
func drivers(t *testing.T, o *options) *fleet {
	t.Helper()
	f, err := startFleet(t.Context(), o.drivers, nil, o.patience)
	require.NoError(t, err)
	t.Cleanup(f.end)
	return f
}

func TestDriversThatDoNotStart(t *testing.T) {
	_, err := startFleet(t.Context(), 2, nil, time.Nanosecond)
	require.ErrorContains(t, err, "did not start within 1ns")
}

// A driver that does nothing any more does not keep the coordinator for ever.
func TestAStuckDriverIsAnError(t *testing.T) {
	var server faulty
	o := optionsOf(t, "--target", server.serve(t, false), "--drivers", "1", "--pairs", "1000")
	f := drivers(t, o)
	m := &measurement{
		spec: spec{kind: wire.Sessions, pairs: 1000, inFlight: 1, atOnce: 1}, o: o, ctx: t.Context(), fleet: f,
		server: &instance{urls: []string{o.target}}, result: new(report.Scenario),
	}
	require.NoError(t, f.run(m.plans(o, m.server.urls, 1)))
	require.NoError(t, m.await(func() bool { return f.moves() > 0 }, 0))

	require.NoError(t, syscall.Kill(f.drivers[0].PID, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(f.drivers[0].PID, syscall.SIGCONT) })
	o.patience = 600 * time.Millisecond
	err := m.await(f.done, 0)
	require.ErrorContains(t, err, "nothing has happened for")
	require.ErrorContains(t, err, "driver 0")
}

// Sessions of a wave end together, but progress is even.
func TestProgressIsEven(t *testing.T) {
	server := faulty{slow: 5 * time.Millisecond}
	o := optionsOf(t, "--target", server.serve(t, false), "--drivers", "1")
	f := drivers(t, o)
	sp := spec{kind: wire.Sessions, pairs: 100, inFlight: 4, atOnce: 100}
	require.NoError(t, f.run(sp.plans(o, []string{o.target}, 1)))
	early := 0
	last := 0.0
	for !f.done() {
		r := <-f.reports
		require.NoError(t, r.heed())
		now, rate := f.now()
		require.GreaterOrEqual(t, now.Progress, last-1e-6)
		last = now.Progress
		if now.Operations == 0 && now.Progress > 1 && rate > 0 {
			early++
		}
	}
	require.Positive(t, early, "nothing is told of a wave until it ends")
	require.InDelta(t, 100, last, 1e-6)
}
