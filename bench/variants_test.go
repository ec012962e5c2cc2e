//go:build linux

package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

func TestVariantsTakeTurns(t *testing.T) {
	order := func(back bool) string {
		o := optionsOf(t, "--scenarios", "relay,relay", "--relay-pairs", "1", "--drivers", "1", "--rounds", "3", "--duration", "10ms", "--warm-up", "1ms")
		var messages bytes.Buffer
		o.messages = &messages
		subjects := []*subject{scripted(t, o, "a", untilAsked(0)), scripted(t, o, "b", untilAsked(0))}
		rounds, err := o.inRounds(t.Context(), subjects, o.specs(), back)
		require.NoError(t, err)
		require.Len(t, rounds, 2)
		require.Len(t, rounds[0], 3)
		require.Len(t, rounds[0][0].Scenarios, 2)
		require.Equal(t, "a", rounds[0][0].Server.Name)
		var all []string
		for turns := range slices.Chunk(regexp.MustCompile(`round \d of 3: (\w)`).FindAllStringSubmatch(messages.String(), -1), 2) {
			all = append(all, turns[0][1]+turns[1][1])
		}
		return strings.Join(all, " ")
	}
	require.Equal(t, "ab ab ab ab ab ab", order(false))
	require.Equal(t, "ab ab ba ba ab ab", order(true))
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
			verdict := strings.Contains(strings.Join(s.Notes, "\n"), "In ratio to 1 loop in the same round: rate")
			require.Equal(t, loops == "2", verdict, s.Name)
		}
	}
	require.Contains(t, out.String(), "CPU per operation")
}

// A verdict is by what stood side by side, however much the rounds differ.
func TestVerdicts(t *testing.T) {
	round := func(micros float64) *report.Result {
		return &report.Result{Scenarios: []report.Scenario{{Name: "relay", Operation: "relay", UserMicros: micros}}}
	}
	judge := func(first, other []*report.Result) string {
		v := variants{verdict: costOfANode}
		median := report.Medians(other)
		v.judge(first, other, median)
		return strings.Join(median.Scenarios[0].Notes, "")
	}
	alone := []*report.Result{round(1), round(10), round(20)}
	require.Equal(t, "CPU per relay in ratio to a server alone in the same round: 1.025. At most 3 % more: yes.",
		judge(alone, []*report.Result{round(1.025), round(10.2), round(30)}))
	require.Contains(t, judge(alone, []*report.Result{round(1.05), round(9), round(22)}), "1.050. At most 3 % more: no.")
	require.Empty(t, judge(alone, []*report.Result{round(0)}), "a round that knows nothing")
}
