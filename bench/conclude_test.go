//go:build linux

package main

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/bench/proc"
	"sigver/bench/report"
	"sigver/bench/wire"
)

// concluded returns what comes of the outcomes of drivers.
func concluded(t *testing.T, sp spec, outcomes ...*wire.Outcome) *report.Scenario {
	t.Helper()
	m := &measurement{
		spec: sp, o: optionsOf(t), ctx: t.Context(), fleet: new(fleet), server: new(instance), began: time.Now(),
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

// Between a driver's counting and the coordinator's looking at the clock a busy
// machine may let time pass, which is neither more load nor less work for it.
func TestRelaysAreCountedInTheDriversOwnTime(t *testing.T) {
	driver := func(operations int64, seconds float64) *member {
		end := wire.Tick{Operations: operations, Seconds: seconds + 5} // when all have left
		return &member{
			halted: wire.Tick{Operations: operations, Seconds: seconds},
			tick:   end, outcome: &wire.Outcome{Tick: end},
		}
	}
	began := time.Now()
	m := &measurement{
		spec: spec{kind: wire.Relay, operation: "relay"}, o: optionsOf(t), ctx: t.Context(), server: &instance{pids: processes{1}},
		fleet: &fleet{drivers: []*member{driver(440, 2.2), driver(200, 2)}},
		began: began, result: new(report.Scenario),
		from: mark{at: began, drivers: make([]time.Duration, 2)},
		to:   mark{at: began.Add(1500 * time.Millisecond), server: proc.CPU{Total: 750 * time.Millisecond}, drivers: make([]time.Duration, 2)},
	}
	require.NoError(t, m.conclude())
	require.EqualValues(t, 640, m.result.Operations)
	require.InDelta(t, 300, m.result.Rate, 1e-6)
	require.InDelta(t, 640.0/300, m.result.Seconds, 1e-6)
	require.InDelta(t, 0.5, m.result.ServerCPU, 1e-6)
	require.InDelta(t, 0.5/300*1e6, m.result.CPUMicros(), 1e-6)

	// A driver that was stopped has not been halted.
	stopped := &member{tick: wire.Tick{Operations: 100, Seconds: 1}}
	require.Equal(t, stopped.tick, stopped.counted())
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
	t.Parallel()
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
		time.Sleep(5 * time.Second)
		cancel()
	}()
	r, err := o.measureAll(ctx, s, "test", o.specs())
	require.ErrorIs(t, err, errStopped)
	require.Positive(t, r.Scenarios[0].FillSeconds)
	require.Equal(t, r.Scenarios[0].FillSeconds, r.Scenarios[0].Seconds)
}

// A server that could do more does not excuse drivers that could not.
func TestTheBottleneckIsNamed(t *testing.T) {
	closed := spec{kind: wire.Relay, operation: "relay"}
	cases := []struct {
		name    string
		spec    spec
		cores   []int // of the server
		loops   int
		server  float64 // cores that it used
		driver  float64
		invalid bool
		bound   bool // in rate and latency
	}{
		{name: "a driver with time", spec: closed, cores: []int{0}, server: 0.5, driver: 0.8},
		{name: "one core, used up", spec: closed, cores: []int{0}, server: 0.95, driver: 0.99},
		{name: "two cores, one used", spec: closed, cores: []int{0, 1}, server: 0.95, driver: 0.99, invalid: true},
		{name: "two cores, used up", spec: closed, cores: []int{0, 1}, server: 1.85, driver: 0.99},
		{name: "two cores for one loop", spec: closed, cores: []int{0, 1}, loops: 1, server: 0.95, driver: 0.99},
		{name: "one core for two loops", spec: closed, cores: []int{0}, loops: 2, server: 0.95, driver: 0.99},
		{name: "an open loop", spec: spec{kind: wire.Sessions, rate: 10}, cores: []int{0}, server: 0.5, driver: 0.99, invalid: true},
		{name: "while filling", spec: spec{kind: wire.Idle}, cores: []int{0}, server: 0.5, driver: 0.99, bound: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := &measurement{
				spec: c.spec, o: optionsOf(t), server: &instance{pids: processes{1}, loops: c.loops},
				result: &report.Scenario{ServerCPU: c.server, DriverCPU: c.driver},
			}
			m.o.serverCores, m.o.driverCores = c.cores, []int{7}
			m.crowded(c.driver)
			require.Equal(t, c.invalid, len(m.result.Invalid) > 0, "%v", m.result.Invalid)
			require.Equal(t, c.bound, strings.Contains(strings.Join(m.result.ClientBound, ""), "client was the bottleneck"))
			require.Empty(t, m.result.Notes)
		})
	}

	m := &measurement{
		spec: closed, o: optionsOf(t), server: &instance{pids: processes{1}},
		result: &report.Scenario{ServerCPU: float64(runtime.NumCPU()) - 1, DriverCPU: 0.99},
	}
	m.crowded(0.99)
	require.Empty(t, m.result.Invalid)
	require.Contains(t, m.result.Notes[0], "share the cores")
}

func TestLoopsOfAServer(t *testing.T) {
	require.Equal(t, 0, loopsOf([]string{"--heartbeat", "0"}))
	require.Equal(t, 2, loopsOf([]string{"--loops", "1", "--rate", "0", "--loops=2", "--log-level", "info"}))
}

// What changes figures is in the result, so that two that are not alike are not
// compared without a word.
func TestParametersAreInTheResult(t *testing.T) {
	of := func(args ...string) map[string]string {
		o := optionsOf(t, append([]string{"--scenarios", "idle"}, args...)...)
		return o.specs()[0].params(o)
	}
	usual := of()
	for name, args := range map[string][]string{
		"timeout":      {"--timeout", "7s"},
		"settle":       {"--settle", "7s"},
		"quiet":        {"--quiet", "7s"},
		"trickle":      {"--trickle"},
		"connections":  {"--connections", "7"},
		"driver_cores": {"--pin-drivers", "0"},
		"in_flight":    {"--in-flight", "7"},
		"openers":      {"--pairs", "7"},
	} {
		require.NotEqual(t, usual[name], of(args...)[name], name)
	}
}
