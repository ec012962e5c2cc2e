//go:build linux

package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

func TestVariantsTakeTurns(t *testing.T) {
	order := func(back bool) []string {
		o := optionsOf(t, "--scenarios", "relay", "--relay-pairs", "1", "--drivers", "1", "--rounds", "3", "--duration", "10ms", "--warm-up", "1ms")
		var messages bytes.Buffer
		o.messages = &messages
		subjects := []*subject{scripted(t, o, "a", untilAsked(0)), scripted(t, o, "b", untilAsked(0))}
		medians, err := o.inRounds(t.Context(), subjects, o.specs(), back)
		require.NoError(t, err)
		require.Len(t, medians, 2)
		require.Equal(t, "a", medians[0].Server.Name)
		var all []string
		for _, m := range regexp.MustCompile(`round \d of 3: (\w)`).FindAllStringSubmatch(messages.String(), -1) {
			all = append(all, m[1])
		}
		return all
	}
	require.Equal(t, []string{"a", "b", "a", "b", "a", "b"}, order(false))
	require.Equal(t, []string{"a", "b", "b", "a", "a", "b"}, order(true))
}

func TestLoopsAreCompared(t *testing.T) {
	t.Parallel()
	o := optionsOf(t, "--compare-loops", "1,2", "--rounds", "1", "--scenarios", "relay,sessions", "--relay-pairs", "2")
	var out bytes.Buffer
	o.out = &out
	sound, err := o.do(t.Context())
	require.NoError(t, err)
	require.True(t, sound, out.String())
	for name, loops := range map[string]string{"1-loop": "1", "2-loops": "2"} {
		r, err := report.ReadJSON(o.path("test-"+name) + ".json")
		require.NoError(t, err)
		require.Equal(t, []string{"--loops", loops}, r.Server.Args[len(r.Server.Args)-2:])
		require.Len(t, r.Scenarios, 2)
		for _, s := range r.Scenarios {
			verdict := strings.Contains(strings.Join(s.Notes, "\n"), "In ratio to 1 loop: rate")
			require.Equal(t, loops == "2", verdict, s.Name)
		}
	}
	require.Contains(t, out.String(), "CPU per operation")
}

func TestVerdicts(t *testing.T) {
	alone := &report.Scenario{Name: "relay", Operation: "relay", Rate: 100, UserMicros: 1, SystemMicros: 1}
	require.Equal(t, "CPU per relay in ratio to a server alone: 1.025. At most 3 % more: yes.",
		costOfANode(alone, &report.Scenario{Operation: "relay", UserMicros: 1, SystemMicros: 1.05}))
	require.Contains(t, costOfANode(alone, &report.Scenario{UserMicros: 1, SystemMicros: 1.1}), "1.050. At most 3 % more: no.")
}
