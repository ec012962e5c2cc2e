//go:build linux

package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
	"sigver/bench/wire"
)

// concluded returns what comes of the outcomes of drivers.
func concluded(t *testing.T, sp spec, outcomes ...*wire.Outcome) *report.Scenario {
	t.Helper()
	m := &measurement{
		spec: sp, o: optionsOf(t), ctx: t.Context(), fleet: new(fleet), server: new(instance),
		result: new(report.Scenario),
	}
	for _, outcome := range outcomes {
		m.fleet.drivers = append(m.fleet.drivers, &member{outcome: outcome})
	}
	require.NoError(t, m.conclude())
	return m.result
}

func TestWhatIsNotDoneIsAFault(t *testing.T) {
	half := &wire.Outcome{Tick: wire.Tick{Operations: 5}}
	failing := &wire.Outcome{Tick: wire.Tick{Operations: 3}, Failed: 2}
	nothing := new(wire.Outcome)
	stopped := &wire.Outcome{Tick: wire.Tick{Operations: 2}, Stopped: true}
	ten := spec{kind: wire.Sessions, operation: "session", pairs: 10}
	require.Empty(t, concluded(t, ten, half, half).Errors)
	require.Empty(t, concluded(t, ten, half, failing).Errors)
	require.Empty(t, concluded(t, ten, half, stopped).Errors)
	require.Equal(t, map[string]int64{"not done": 5}, concluded(t, ten, half, nothing).Errors)
	require.Empty(t, concluded(t, spec{kind: wire.Relay, pairs: 10}, half, half).Errors)
}

// Every driver that has pairs may have one at once.
func TestFewAtOnceAreDone(t *testing.T) {
	for _, load := range [][]string{
		{"--scenarios", "sessions"},
		{"--scenarios", "sessions-open", "--rate", "100", "--duration", "500ms"},
		{"--scenarios", "churn", "--in-flight", "1"},
	} {
		t.Run(load[1], func(t *testing.T) {
			t.Parallel()
			var server faulty
			s := measured(t, server.serve(t, false), append(load, "--connections", "2", "--drivers", "3")...)
			require.Empty(t, s.Errors, "%v", s.Notes)
			want := map[string]int64{"sessions": 50, "sessions-open": 50, "churn": 25}[load[1]]
			require.Equal(t, want, s.Operations)
		})
	}
}

// An interrupt after the load does not make the load's time longer.
func TestAnInterruptWhileIdleLeavesTheFigures(t *testing.T) {
	var server faulty
	o := optionsOf(t, "--target", server.serve(t, false), "--scenarios", "idle", "--quiet", "1h")
	s, err := o.remote()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	full := func() bool {
		server.mu.Lock()
		defer server.mu.Unlock()
		return len(server.openers) == 50
	}
	go func() {
		for !full() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		// Until the fleet has said so too, and a while of silence.
		time.Sleep(time.Second)
		cancel()
	}()
	r, err := o.measureAll(ctx, s, "test", o.specs())
	require.ErrorIs(t, err, errStopped)
	require.Positive(t, r.Scenarios[0].FillSeconds)
	require.Equal(t, r.Scenarios[0].FillSeconds, r.Scenarios[0].Seconds)
}
