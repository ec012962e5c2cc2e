//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

// A small cluster does everything without an error, joins of one node do not ask
// the engine, and those of two ask it once.
func TestACluster(t *testing.T) {
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
}
