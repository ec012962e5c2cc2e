package report_test

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

func compared(t *testing.T, old, new *report.Result) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, report.Compare(&b, old, new))
	return b.String()
}

func TestCompareHasTheWorstFirst(t *testing.T) {
	old, now := full("sigver", 1), full("sigver", 1)
	now.Scenarios[0].Rate *= 0.5             // 2 times worse
	now.Scenarios[1].BytesPerConnection *= 3 // 3 times worse
	now.Scenarios[2].Latency.P99 *= 0.25     // better
	now.Scenarios[3].Errors = map[string]int64{"lost": 1}
	now.Scenarios[0].Resident.Peak = 0 // unknown
	text := compared(t, old, now)
	golden(t, "compare.txt", text)
	order := regexp.MustCompile(`(?m)^(\w+) .*?(errors|bytes per connection|rate|p99|resident, peak) .*(WORSE|better|unknown)$`).
		FindAllStringSubmatch(text, -1)
	var got []string
	for _, m := range order {
		got = append(got, m[2]+" "+m[3])
	}
	require.Equal(t, []string{
		"errors WORSE", "bytes per connection WORSE", "rate WORSE", "p99 better", "resident, peak unknown",
	}, got)
	require.NotContains(t, text, "NOT TAKEN ALIKE")
}

func TestCompareSaysWhatWasNotAlike(t *testing.T) {
	old, now := full("sigver", 1), full("sigver", 1)
	now.Machine.Kernel = "6.13.0"
	now.Machine.Go = "go1.27"
	now.Machine.CPU = "AMD EPYC"
	now.Machine.Cores = 64
	now.Server.Pinned = ""
	now.Scenarios[0].Params["offer"] = "100"
	delete(now.Scenarios[0].Params, "drivers")
	now.Scenarios[1].Invalid = []string{"The driver was the limit."}
	now.Scenarios = now.Scenarios[:3]
	now.Rounds = 5
	golden(t, "compare-unlike.txt", compared(t, old, now))
}

func TestCompareFindsTheSameLoad(t *testing.T) {
	old, now := full("sigver", 1), full("sigver", 1)
	now.Scenarios[2], now.Scenarios[3] = now.Scenarios[3], now.Scenarios[2]
	text := compared(t, old, now)
	require.NotContains(t, text, "NOT TAKEN ALIKE")
	require.NotContains(t, text, "WORSE")
	require.NotContains(t, text, "better\n")
}

func TestCompareWithNothingInCommon(t *testing.T) {
	text := compared(t, &report.Result{}, full("sigver", 1))
	require.Contains(t, text, "no scenario in common")
	require.Contains(t, text, "sessions is only in new")
	require.Contains(t, compared(t, full("sigver", 1), &report.Result{}), "sessions is only in old")
}

// What differs by less than two runs of the same thing do is no change.
func TestCompareKnowsNoise(t *testing.T) {
	old, now := full("sigver", 1), full("sigver", 1)
	now.Scenarios[0].Rate *= 0.98
	now.Scenarios[0].Latency.Max *= 1.029
	now.Scenarios[0].Latency.P999 *= 1.031
	now.Scenarios[1].EmptySeconds *= 0.9
	now.Scenarios[1].KernelPerConnection *= 2
	old.Scenarios[0].Errors, now.Scenarios[0].Errors = map[string]int64{"lost": 1000}, map[string]int64{"lost": 1001}
	text := compared(t, old, now)
	for _, line := range []string{
		`sessions .* rate .* noise`,
		`sessions .* max .* noise`,
		`sessions .* p99\.9 .* WORSE`,
		`sessions .* errors .* WORSE`,
		`idle .* time to empty .* better`,
		`idle .* kernel's bytes per connection .* WORSE`,
		`idle .* CPU while idle .* 0\.08 % .* same`,
		`idle .* time to fill .* same`,
		`noise: less than 3 % apart`,
	} {
		require.Regexp(t, line, text)
	}
	require.NotContains(t, compared(t, old, old), "noise")
}
