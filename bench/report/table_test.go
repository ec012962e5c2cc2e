package report_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// golden compares text with the file name of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

func tableOf(t *testing.T, results ...*report.Result) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, report.WriteTable(&b, results...))
	for line := range strings.Lines(b.String()) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 160, line)
		require.Equal(t, strings.TrimRight(line, " \n")+"\n", line, "blanks at the end")
	}
	return b.String()
}

func TestTable(t *testing.T) {
	for _, c := range []struct {
		golden  string
		results []*report.Result
	}{
		{"table-full.txt", []*report.Result{full("sigver", 1)}},
		{"table-servers.txt", []*report.Result{full("sigver", 1), full("gorilla", 1.43), broken()}},
		{"table-unfilled.txt", []*report.Result{{Name: "bare", Scenarios: []report.Scenario{{Name: "sessions"}, {Name: "idle"}}}}},
	} {
		t.Run(c.golden, func(t *testing.T) { golden(t, c.golden, tableOf(t, c.results...)) })
	}
}

func TestTableOfNothing(t *testing.T) {
	require.Empty(t, tableOf(t))
	require.Empty(t, tableOf(t, nil, &report.Result{}))
}

func TestTableGivesWayWhenTooWide(t *testing.T) {
	r := full(strings.Repeat("a long name ", 5), 1)
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		s.Operations, s.Connections, s.Rate = 987_654_321, 1_000_000, 9_876_543
		s.Notes = []string{strings.Repeat("words and more of them, ", 30)}
	}
	text := tableOf(t, r, r)
	require.Contains(t, text, "p99.9")
	require.NotContains(t, text, "at once")
}

func TestTableReportsAFailedWrite(t *testing.T) {
	require.ErrorIs(t, report.WriteTable(failing{}, full("sigver", 1)), errFull)
	require.ErrorIs(t, report.Compare(failing{}, full("sigver", 1), broken()), errFull)
	require.ErrorIs(t, report.WriteRatios(failing{}, full("sigver", 1), nil), errFull)
	require.ErrorIs(t, report.WriteMarkdown(failing{}, full("sigver", 1), nil), errFull)
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }
