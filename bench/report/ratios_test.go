package report_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

// peers are the other servers: the broken one is the fastest.
func peers() []*report.Result {
	bad := full("gws", 1.2)
	for i := range bad.Scenarios {
		bad.Scenarios[i].Errors = map[string]int64{"lost": 7}
	}
	return []*report.Result{full("gorilla", 2), bad, full("coder | <b>", 1.6)}
}

func medianOfFive() *report.Result {
	first := full("sigver", 1)
	first.Rounds = 5
	first.Command = "make bench-peers ROUNDS=5"
	return first
}

func TestRatios(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, report.WriteRatios(&b, medianOfFive(), peers()))
	golden(t, "ratios.txt", b.String())
	require.Contains(t, b.String(), "sessions: by CPU per operation the best other is coder | <b>")
	require.Contains(t, b.String(), "idle: by bytes per connection the best other is coder | <b>")
	require.Contains(t, b.String(), "left out because of errors or as not valid: gws")
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, report.WriteMarkdown(&b, medianOfFive(), peers()))
	golden(t, "ratios.md", b.String())
	bars := -1
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "| ") {
			n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
			require.True(t, bars < 0 || bars == n, line)
			bars = n
		}
	}
}

// Of a rate the higher is the better one.
func TestRatiosByRateAlone(t *testing.T) {
	of := func(name string, rate float64) *report.Result {
		return &report.Result{
			Server:    report.Server{Name: name},
			Scenarios: []report.Scenario{{Name: "churn", Rate: rate}},
		}
	}
	var b bytes.Buffer
	require.NoError(t, report.WriteRatios(&b, of("sigver", 100), []*report.Result{of("slow", 50), of("fast", 200), of("middle", 100)}))
	require.Contains(t, b.String(), "churn: by rate the best other is fast with 200/s; sigver has 100/s, 0.500× of that")
	require.NotContains(t, b.String(), "CPU")
}

// What sigver is to be measured by is the best one in Go.
func TestRatiosNameTheBestInTheSameLanguage(t *testing.T) {
	of := func(name, language string, cpu float64) *report.Result {
		return &report.Result{
			Server:    report.Server{Name: name, Language: language},
			Scenarios: []report.Scenario{{Name: "relay", UserMicros: cpu}},
		}
	}
	shown := func(others ...*report.Result) string {
		var b bytes.Buffer
		require.NoError(t, report.WriteRatios(&b, of("sigver", "Go", 2), others))
		return strings.ReplaceAll(b.String(), "\n", " ")
	}
	both := shown(of("slow", "Go", 20), of("node", "JavaScript", 4), of("fast", "Go", 10))
	require.Contains(t, both, "the best other is node with 4.00 µs; sigver has 2.00 µs, 0.500× of that;")
	require.Regexp(t, `the best other in Go is fast with 10.0 µs, of which it is +0.200×`, both)
	require.NotContains(t, shown(of("slow", "Go", 20), of("node", "JavaScript", 40)), "best other in")
}

func TestRatiosOfNoOthers(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, report.WriteRatios(&b, full("sigver", 1), nil))
	require.NotContains(t, b.String(), "best")
	b.Reset()
	require.NoError(t, report.WriteRatios(&b, &report.Result{}, []*report.Result{{}}))
	require.NoError(t, report.WriteMarkdown(&b, &report.Result{}, nil))
}

// What an idle connection costs is the server's figure, however busy the driver was.
func TestFiguresOfTheClientAreMarked(t *testing.T) {
	first, other := full("sigver", 1), full("gorilla", 2)
	const why = "The client was the bottleneck."
	first.Scenarios[1].ClientBound = []string{why}

	var b bytes.Buffer
	require.NoError(t, report.WriteMarkdown(&b, first, []*report.Result{other}))
	require.Contains(t, b.String(), "| idle | **sigver** | 36.7 µs | 13,210/s ⚠ | 965 µs ⚠ | 378 B |\n")
	require.Contains(t, b.String(), "⚠ behind a rate or latency: the client was the bottleneck")
	require.Equal(t, 3, strings.Count(b.String(), "⚠"))
	require.NotContains(t, b.String(), "not valid")

	b.Reset()
	require.NoError(t, report.WriteRatios(&b, first, []*report.Result{other}))
	require.Regexp(t, `sigver +36\.7 µs +13,210/s !! +965 µs !! +378 B\n`, b.String())
	require.Contains(t, b.String(), "RATE AND LATENCY ARE THE CLIENT'S\n!! idle, sigver: "+why)
	require.NotContains(t, b.String(), "own figures have errors")

	table := tableOf(t, first)
	require.Contains(t, table, "13,210/s !!")
	require.Contains(t, table, "10.0 ms !!")
	require.NotContains(t, table, "378 B !!")

	b.Reset()
	require.NoError(t, report.Compare(&b, first, other))
	require.Regexp(t, `idle +rate .*WORSE \(not valid\)`, b.String())
	require.Regexp(t, `idle +bytes per connection .*WORSE\n`, b.String())

	page := htmlOf(t, first)
	require.Contains(t, page, "<td>13,210/s ⚠</td>")
	require.Contains(t, page, why)

	// By rate, there is nothing to rank such a server by.
	for _, r := range []*report.Result{first, other} {
		s := &r.Scenarios[1]
		s.UserMicros, s.SystemMicros, s.BytesPerConnection = 0, 0, 0
	}
	b.Reset()
	require.NoError(t, report.WriteRatios(&b, first, []*report.Result{other}))
	require.Contains(t, b.String(), "idle: by rate the best other is gorilla")
	require.Contains(t, b.String(), "sigver's own figures have errors or are not valid")
}
