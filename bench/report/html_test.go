package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

// htmlOf returns the page of r, which it has found to be well-formed, to load
// nothing and to hold no NaN.
func htmlOf(t *testing.T, r *report.Result) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results", "page.html")
	require.NoError(t, report.WriteHTML(path, r))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	page := string(text)

	// The template keeps to what is XML as well, so that this can be checked.
	d := xml.NewDecoder(strings.NewReader(page))
	d.Entity = xml.HTMLEntity
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok {
			require.NotContains(t, []string{"script", "link", "img", "iframe", "image", "use"}, start.Name.Local)
			for _, a := range start.Attr {
				require.NotEqual(t, "src", a.Name.Local)
				if a.Name.Local == "href" {
					require.True(t, strings.HasPrefix(a.Value, "#"), a.Value)
				}
			}
		}
	}
	outside := strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")
	lacks(t, outside, `https?://|url\(|@import`)
	lacks(t, page, `NaN|[+-]Inf`)
	return page
}

// lacks does not print the whole page when it fails.
func lacks(t *testing.T, page, pattern string) {
	t.Helper()
	require.Empty(t, regexp.MustCompile(pattern).FindAllString(page, 3))
}

func captions(page string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`<figcaption>(.*?)</figcaption>`).FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestHTML(t *testing.T) {
	r := full("sigver", 1)
	page := htmlOf(t, r)
	require.Equal(t, 4*5, strings.Count(page, "<svg "), "four scenarios: five plots each, but idle has no rate and one of its own")
	require.Contains(t, page, "Memory against connections")
	require.Contains(t, page, "378 B per connection")
	require.Contains(t, page, "99.99 %")
	lacks(t, page, `role="alert"`)
	lacks(t, page, `style="[^"]*font-family`)     // fonts are the style sheet's
	lacks(t, page, `style="[^"]*#[0-9A-Fa-f]{6}`) // a colour that dark mode cannot change
}

func TestHTMLSaysWhatIsWrongFirst(t *testing.T) {
	page := htmlOf(t, broken())
	require.Contains(t, page, "1,234 doubled, 2 lost")
	require.Less(t, strings.Index(page, "do not believe these figures"), strings.Index(page, "<table>"))
}

func TestHTMLEscapesText(t *testing.T) {
	const evil = `<script>alert("&'")</script>`
	r := broken()
	r.Name, r.Commit, r.Command = evil, evil, evil
	r.Machine.CPU, r.Server.Name, r.Server.Target = evil, evil, evil
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		s.Name, s.Operation = evil, evil
		s.Params = map[string]string{evil: evil}
		s.Notes, s.Invalid = []string{evil}, []string{evil}
		s.Errors = map[string]int64{evil: 1}
		s.Latency.What = evil
	}
	page := htmlOf(t, r)
	lacks(t, page, "<script")
	require.True(t, strings.Contains(page, "&lt;script&gt;"))
}

func TestHTMLDrawsOnlyWhatThereIs(t *testing.T) {
	one := func(s report.Scenario) *report.Result {
		return &report.Result{Name: "a", Scenarios: []report.Scenario{s}}
	}
	for _, c := range []struct {
		name string
		r    *report.Result
		want []string
	}{
		{"nothing at all", &report.Result{}, nil},
		{"a bare scenario", one(report.Scenario{Name: "idle"}), nil},
		{"zeros", one(report.Scenario{Samples: make([]report.Sample, 3)}), nil},
		{
			"one sample",
			one(report.Scenario{Samples: []report.Sample{{Second: 0, Rate: 5}}}),
			[]string{"Rate over time"},
		},
		{
			"one sample of an idle server",
			one(report.Scenario{Name: "idle", Samples: []report.Sample{{Second: 2, Connections: 1, Resident: 1}}}),
			[]string{"Memory against connections", "Resident memory over time", "Connections over time"},
		},
		{
			"one latency",
			one(report.Scenario{Latency: report.Latency{
				Count: 1, P50: 3, P90: 3, P99: 3, P999: 3, Max: 3, Points: []report.Point{{Share: 1, Micros: 3}},
			}}),
			[]string{"Latency by percentile"},
		},
		{
			"percentiles without points",
			one(report.Scenario{Latency: report.Latency{Count: 100, P50: 3, P90: 4, P99: 5, P999: 5, Max: 6}}),
			[]string{"Latency by percentile"},
		},
		{
			"latencies of nothing",
			one(report.Scenario{Latency: report.Latency{Count: 10, Points: []report.Point{{Share: 1}}}}),
			nil,
		},
		{
			"what is not a number",
			one(report.Scenario{
				Rate: math.NaN(), ServerCPU: math.NaN(), Seconds: math.Inf(1), Operations: 1, UserMicros: math.NaN(),
				BytesPerConnection: math.NaN(),
				Latency: report.Latency{
					Count: 9, P50: math.NaN(), Max: math.Inf(1),
					Points: []report.Point{{Share: math.NaN(), Micros: 1}, {Share: .5, Micros: math.NaN()}, {Share: .6, Micros: 2}, {Share: .7, Micros: math.Inf(1)}},
				},
				Samples: []report.Sample{{Second: math.NaN(), Rate: 1}, {Second: 1, Rate: math.Inf(1)}, {Second: 2, Rate: 4}, {Second: 3, Rate: 4}},
			}),
			[]string{"Latency by percentile", "Rate over time"},
		},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, captions(htmlOf(t, c.r))) })
	}
}

// Axes of every size must come out with ticks, and neither hang nor panic.
func TestHTMLOfEverySize(t *testing.T) {
	for _, scale := range []float64{1e-9, 1e-3, 0.7, 1, 59, 3e3, 1e6, 1e12, 1e15} {
		s := report.Scenario{Name: "idle", BytesPerConnection: scale, Resident: report.Memory{Before: 1, Peak: 2}}
		s.Latency = report.Latency{Count: int64(max(1, scale)), P50: scale, P99: 2 * scale, P999: 3 * scale, Max: 4 * scale}
		for i := range 5 {
			at := float64(i) * scale
			s.Samples = append(s.Samples, report.Sample{Second: at, Rate: at, Connections: int(at), Resident: int64(at), ServerCPU: at})
		}
		page := htmlOf(t, &report.Result{Name: "a", Scenarios: []report.Scenario{s}})
		require.Contains(t, page, "Rate over time")
		require.Less(t, len(page), 200_000)
	}
}
