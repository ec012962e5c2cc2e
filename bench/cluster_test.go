//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

// A small cluster does everything without an error, joins of one node do not ask
// the engine, and those of two ask it once.
func TestACluster(t *testing.T) {
	t.Parallel()
	o := optionsOf(t, "--nodes", "2", "--rounds", "1")
	var out bytes.Buffer
	o.out = &out
	sound, err := o.do(t.Context())
	require.NoError(t, err)
	require.True(t, sound, out.String())
	r, err := report.ReadJSON(o.path("test-nodes") + ".json")
	require.NoError(t, err)
	var names []string
	publishes := make(map[string]bool)
	for _, s := range r.Scenarios {
		names = append(names, s.Name)
		require.Positive(t, s.Operations, s.Name)
		require.Empty(t, s.Errors, s.Name)
		for _, note := range s.Notes {
			if strings.Contains(note, "PUBLISH") {
				publishes[s.Name] = true
			}
		}
	}
	require.Equal(t, []string{"joins-near", "joins-far", "relay-near", "relay-far", "claims", "full"}, names)
	require.Equal(t, map[string]bool{"joins-far": true, "relay-far": true, "full": true}, publishes)
	require.Contains(t, out.String(), "a node")
	require.Contains(t, strings.Join(r.Scenarios[1].Notes, "\n"), "because its clients are at two nodes: ")

	node, err := report.ReadJSON(o.path("test-a-node") + ".json")
	require.NoError(t, err)
	for _, s := range node.Scenarios {
		require.Regexp(t, `in ratio to a server alone in the same round: \d\.\d+\. At most 3 % more: (yes|no)\.`, strings.Join(s.Notes, "\n"), s.Name)
	}
}

// What is asked for both by those of one node and by those of two is not the price
// of the second node.
func TestWorkOfTheEngine(t *testing.T) {
	before := map[string]int64{"set": 10, "get": 5}
	near := workOf(before, map[string]int64{"set": 20, "get": 5, "eval": 10}, 100*time.Microsecond, 10)
	far := workOf(before, map[string]int64{"set": 20, "get": 15, "eval": 10, "publish": 20}, 300*time.Microsecond, 10)
	require.Equal(t, "1.00 EVAL, 1.00 SET; 10.0 µs of its CPU", near.String())
	require.Equal(t, "1.00 GET, 2.00 PUBLISH; 20.0 µs of its CPU", far.less(near).String())
	notes := far.notes(spec{name: "joins-far", operation: "join"}, map[string]work{"joins-near": near, "joins-far": far})
	require.Len(t, notes, 2)
	require.Contains(t, notes[1], "at two nodes: 1.00 GET, 2.00 PUBLISH; 20.0 µs of its CPU. The claim and the release of the keys: 1.00 EVAL, 1.00 SET;")
	require.Len(t, near.notes(spec{name: "joins-near"}, map[string]work{"joins-near": near}), 1)
}

// The full cluster is a claim, so room for fewer is a fault.
func TestFewerConnectionsThanAskedForIsAFault(t *testing.T) {
	t.Parallel()
	var server faulty
	o := optionsOf(t, "--target", server.serve(t, false), "--connections", "10", "--nodes", "0")
	specs := o.clusterSpecs()
	full := specs[len(specs)-1]
	require.Equal(t, "full", full.name)
	require.Equal(t, 5, full.pairs)
	s, err := o.remote()
	require.NoError(t, err)
	full.inFlight = 8
	scenario, err := o.measure(t.Context(), s, full)
	require.NoError(t, err)
	require.Empty(t, scenario.Errors)

	o.connections = 6
	scenario, err = o.measure(t.Context(), s, full)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"not connected": 4}, scenario.Errors)
}
