package report_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

func TestJSONComesBackAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results", "new", "sigver.json")
	for _, r := range []*report.Result{full("sigver <&>", 1), {Name: "empty"}, broken()} {
		require.NoError(t, report.WriteJSON(path, r))
		back, err := report.ReadJSON(path)
		require.NoError(t, err)
		require.Equal(t, r, back)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "temporary files are left")
}

func TestJSONThatCannotBeWrittenLeavesTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sigver.json")
	require.NoError(t, report.WriteJSON(path, full("sigver", 1)))
	bad := full("sigver", 1)
	bad.Scenarios[0].Rate = math.NaN()
	require.ErrorContains(t, report.WriteJSON(path, bad), path)
	back, err := report.ReadJSON(path)
	require.NoError(t, err)
	require.Equal(t, full("sigver", 1), back)
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "temporary files are left")
}

func TestReadJSONSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"cut.json", "{\n\"name\": \"a\",\n", "line 3 is not JSON"},
		{"text.json", "hello", "line 1 is not JSON"},
		{"type.json", `{"name":"a","scenarios":[{"rate":"fast"}]}`, "rate"},
		{"array.json", `[1]`, "not a result"},
		{"other.json", `{"version":3}`, "neither a name nor scenarios"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.name)
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			_, err := report.ReadJSON(path)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, path)
		})
	}
	_, err := report.ReadJSON("/nowhere/at/all.json")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "/nowhere/at/all.json")
}
