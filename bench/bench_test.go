//go:build linux

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

// programVariable makes the test's program the whole of bench.
const programVariable = "SIGVER_BENCH_PROGRAM"

// TestMain lets the test's program be the drivers too.
func TestMain(m *testing.M) {
	if os.Getenv(driverVariable) != "" || os.Getenv(programVariable) != "" {
		main()
		return
	}
	// A driver under the race detector would sleep for a second when it ends.
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	os.Exit(m.Run())
}

// optionsOf returns those of a small and quick run.
func optionsOf(t *testing.T, args ...string) *options {
	t.Helper()
	o, err := parse(append([]string{
		"--pairs", "50", "--drivers", "2", "--in-flight", "8", "--timeout", "10s", "--settle", "2s",
		"--duration", "1s", "--warm-up", "50ms", "--quiet", "100ms", "--results", t.TempDir(), "--name", "test",
	}, args...))
	require.NoError(t, err)
	o.out, o.messages = io.Discard, io.Discard
	return o
}

// measured returns the one scenario that is run against a server.
func measured(t *testing.T, target string, args ...string) *report.Scenario {
	t.Helper()
	o := optionsOf(t, append([]string{"--target", target}, args...)...)
	s, err := o.remote()
	require.NoError(t, err)
	r, err := o.measureAll(t.Context(), s, "test", o.specs())
	require.NoError(t, err)
	require.Len(t, r.Scenarios, 1)
	return &r.Scenarios[0]
}

func TestLatencyShowsADelay(t *testing.T) {
	server := faulty{fault: "delay", after: 400}
	s := measured(t, server.serve(t, false), "--scenarios", "relay", "--relay-pairs", "2", "--warm-up", "1ms", "--duration", "2s")
	require.Empty(t, s.Errors)
	require.Equal(t, 1, server.made)
	require.GreaterOrEqual(t, s.Latency.Max, float64(delay.Microseconds()))
	require.Less(t, s.Latency.P50, float64(delay.Microseconds())/4)
}

// In an open loop the sessions that had to wait while the server stood still are
// late too, not only the few that were on their way.
func TestAnOpenLoopDoesNotHideWaiting(t *testing.T) {
	const rate, duration = 200, 500 * time.Millisecond
	server := faulty{fault: "stall", after: 100}
	s := measured(t, server.serve(t, false), "--scenarios", "sessions-open", "--rate", "200", "--duration", duration.String(),
		"--pairs", "1000", "--connections", "8")
	require.Empty(t, s.Errors)
	require.Equal(t, 1, server.made)
	require.EqualValues(t, rate*duration.Seconds(), s.Operations)
	require.EqualValues(t, s.Operations, s.Latency.Count)
	require.GreaterOrEqual(t, s.Latency.Max, float64(delay.Microseconds()))
	onTime := 0.0
	for _, p := range s.Latency.Points {
		if p.Micros < float64(delay.Microseconds())/3 {
			onTime = p.Share
		}
	}
	// Those that were to begin in the first two thirds of the wait.
	late := (2 * delay / 3).Seconds() * rate / float64(s.Operations)
	require.GreaterOrEqual(t, 1-onTime, late-0.05)
}

func TestTLSTargets(t *testing.T) {
	for _, scenario := range []string{"idle", "relay", "sessions", "churn", "hotkey"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			var server faulty
			s := measured(t, server.serve(t, true), "--insecure", "--scenarios", scenario, "--relay-pairs", "5", "--pairs", "20")
			require.Empty(t, s.Errors, "%v", s.Notes)
			require.Positive(t, s.Operations)
		})
	}
	t.Run("a certificate that nobody vouches for", func(t *testing.T) {
		t.Parallel()
		var server faulty
		s := measured(t, server.serve(t, true), "--scenarios", "churn", "--pairs", "2")
		// Once to open, and once to see whether the key is free again.
		require.Equal(t, map[string]int64{"connect": 2}, s.Errors)
	})
}

func TestNobodyAtTheTarget(t *testing.T) {
	s := measured(t, "ws://127.0.0.1:1", "--scenarios", "sessions", "--pairs", "10")
	require.Equal(t, map[string]int64{"connect": 10}, s.Errors)
	require.Zero(t, s.Operations)
	require.NotEmpty(t, s.Invalid)
}

// The whole program against the server of this tree.
func TestEveryScenarioOfTheRealServer(t *testing.T) {
	t.Parallel()
	o := optionsOf(t, "--scenarios", "idle,relay,sessions,sessions-open,churn,hotkey", "--rate", "100", "--hot", "20")
	var table bytes.Buffer
	o.out = &table
	sound, err := o.do(t.Context())
	require.NoError(t, err)
	require.True(t, sound, table.String())

	r, err := report.ReadJSON(o.path("test") + ".json")
	require.NoError(t, err)
	require.FileExists(t, o.path("test")+".html")
	var names []string
	for _, s := range r.Scenarios {
		names = append(names, s.Name)
		require.Positive(t, s.Operations, s.Name)
		require.Positive(t, s.Rate, s.Name)
		require.Positive(t, s.UserMicros+s.SystemMicros, s.Name)
		require.Positive(t, s.Resident.Before, s.Name)
		require.Positive(t, s.Latency.Count, s.Name)
		require.Contains(t, table.String(), s.Name)
	}
	require.Equal(t, []string{"idle", "relay-200", "relay-1000", "sessions", "sessions-open", "churn", "hotkey"}, names)
	idle := r.Scenarios[0]
	require.EqualValues(t, 50, idle.Operations)
	require.Equal(t, 50, idle.Connections)
	require.Positive(t, idle.FillSeconds)
	require.Positive(t, idle.EmptySeconds)
}

func TestInterruptedRunTellsWhatItHas(t *testing.T) {
	t.Parallel()
	server := faulty{fault: "count", after: 5000, met: make(chan struct{})}
	o := optionsOf(t, "--target", server.serve(t, false), "--scenarios", "relay,sessions", "--relay-pairs", "2", "--duration", "1h")
	s, err := o.remote()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		select {
		case <-server.met:
			time.Sleep(time.Second) // until the warm-up is over too
			cancel()
		case <-ctx.Done():
		}
	}()
	r, err := o.measureAll(ctx, s, "test", o.specs())
	require.ErrorIs(t, err, errStopped)
	require.Len(t, r.Scenarios, 1)
	require.Positive(t, r.Scenarios[0].Operations)
	require.Empty(t, r.Scenarios[0].Errors)
	require.Contains(t, r.Scenarios[0].Notes, "Stopped before the end.")
}

func TestAServerThatDoesNotStart(t *testing.T) {
	o := optionsOf(t, "--server", "/bin/false")
	_, err := o.do(t.Context())
	require.ErrorContains(t, err, "did not start: exit status 1")
}

func TestAServerThatDiesOnTheWay(t *testing.T) {
	o := optionsOf(t, "--scenarios", "relay", "--relay-pairs", "2", "--duration", "1h")
	r, err := o.measureAll(t.Context(), scripted(t, o, "mortal", "echo URL; sleep 0.3; echo alas; exit 7"), "test", o.specs())
	require.ErrorContains(t, err, "the server died: exit status 7")
	require.ErrorContains(t, err, "alas")
	require.Len(t, r.Scenarios, 1)
}

// A crash at the very end is one.
func TestAServerThatEndsBadly(t *testing.T) {
	o := optionsOf(t, "--scenarios", "churn")
	r, err := o.measureAll(t.Context(), scripted(t, o, "weak", untilAsked(7)), "test", o.specs())
	require.ErrorContains(t, err, "the server did not end as it should: exit status 7")
	require.ErrorContains(t, err, "alas")
	require.Len(t, r.Scenarios, 1)
	require.Positive(t, r.Scenarios[0].Operations)
	require.Empty(t, r.Scenarios[0].Errors)
	require.Equal(t, []string{"The server did not end as it should."}, r.Scenarios[0].Invalid)
}

func TestMistakesAreNamed(t *testing.T) {
	cases := []struct {
		name string
		args []string
		says string
	}{
		{name: "a scenario", args: []string{"--scenarios", "idle,nap"}, says: "--scenarios nap"},
		{name: "one file", args: []string{"--compare", "a"}, says: "two files"},
		{name: "a word", args: []string{"relay"}, says: `"relay"`},
		{name: "an open loop without a rate", args: []string{"--scenarios", "sessions-open"}, says: "--rate"},
		{name: "a small message", args: []string{"--size", "3"}, says: "--size 3"},
		{name: "cores", args: []string{"--pin-server", "x"}, says: "list of cores"},
		{name: "a peer", args: []string{"--peers=apache"}, says: "--peers apache"},
		{name: "nodes of somebody", args: []string{"--nodes", "2", "--target", "ws://x"}, says: "excludes"},
		{name: "one number of loops", args: []string{"--compare-loops", "2"}, says: "two numbers"},
		{name: "no loop", args: []string{"--compare-loops", "0,2"}, says: "two numbers"},
		{name: "loops of somebody", args: []string{"--compare-loops", "1,2", "--target", "ws://x"}, says: "excludes"},
		{name: "both", args: []string{"--peers", "--target", "ws://x"}, says: "exclude"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(c.args)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestLoadIsDividedWithoutARest(t *testing.T) {
	for _, n := range []int{0, 1, 7, 200_000} {
		for parts := 1; parts < 9; parts++ {
			sum := 0
			for i := range parts {
				sum += share(n, parts, i)
			}
			require.Equal(t, n, sum)
		}
	}
}

func TestResultsGoWhereTheyAreWanted(t *testing.T) {
	o := optionsOf(t, "--results", "/elsewhere")
	require.Equal(t, filepath.Join("/elsewhere", "x"), o.path("x"))
}
