package memory

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// write puts files below root.
func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
}

func TestAvailable(t *testing.T) {
	cases := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing known", nil, 0},
		{"a machine", map[string]string{"proc/meminfo": "MemTotal:     524288 kB\nMemFree: 1 kB\n"}, 512 << 20},
		{
			"a group",
			map[string]string{
				"proc/meminfo":                 "MemTotal:     524288 kB\n",
				"proc/self/cgroup":             "0::/a/b\n",
				"sys/fs/cgroup/a/b/memory.max": "1048576\n",
				"sys/fs/cgroup/a/memory.max":   "max\n",
			},
			1 << 20,
		},
		{
			"an outer group",
			map[string]string{
				"proc/meminfo":                 "MemTotal:     524288 kB\n",
				"proc/self/cgroup":             "0::/a/b\n",
				"sys/fs/cgroup/a/b/memory.max": "max\n",
				"sys/fs/cgroup/a/memory.max":   "2097152\n",
			},
			2 << 20,
		},
		{
			"a container",
			map[string]string{
				"proc/meminfo":             "MemTotal:     524288 kB\n",
				"proc/self/cgroup":         "0::/\n",
				"sys/fs/cgroup/memory.max": "4194304\n",
			},
			4 << 20,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, c.files)
			require.Equal(t, c.want, available(root))
		})
	}
	require.Positive(t, Available(), "of this machine")
	require.Positive(t, Resident())
	for _, b := range new(reader).bounds("/") {
		require.Positive(t, b.left, b.of)
		require.LessOrEqual(t, b.left, b.total, b.of)
	}
}
