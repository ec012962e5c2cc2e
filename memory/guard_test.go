package memory

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

const mib = 1 << 20

// machineWith is a machine of 512 MiB of which so many can still be had. Most of
// what is not free is files.
func machineWith(left int64) map[string]string {
	return map[string]string{"proc/meminfo": fmt.Sprintf(
		"MemTotal:     524288 kB\nMemFree:        1024 kB\nMemAvailable: %d kB\nCached:       400000 kB\n", left>>10)}
}

// groupWith is a control group of 256 MiB that uses so many, part of them for files.
func groupWith(current, files int64) map[string]string {
	return map[string]string{
		"proc/self/cgroup":               "0::/a/b\n",
		"sys/fs/cgroup/a/memory.max":     fmt.Sprint(256*mib, "\n"),
		"sys/fs/cgroup/a/memory.current": fmt.Sprint(current, "\n"),
		"sys/fs/cgroup/a/memory.stat":    fmt.Sprintf("anon 1\nfile %d\ninactive_file %d\nactive_file %d\nslab_reclaimable 0\n", files, files/2, files/2),
		"sys/fs/cgroup/a/b/memory.max":   "max\n",
	}
}

func TestGuard(t *testing.T) {
	type step struct {
		name     string
		files    map[string]string
		resident int64
		want     Shortage
	}
	short := func(why string) Shortage { return Shortage{Why: why} }
	severe := func(why string) Shortage { return Shortage{Why: why, Severe: true} }
	for name, steps := range map[string][]step{
		"the process": {
			{"under its limit", nil, 100 * mib, Shortage{}},
			{"over it", nil, 101 * mib, short("the process")},
			{"far over it", nil, 126 * mib, severe("the process")},
			{"just over it", nil, 101 * mib, short("the process")},
			{"just under it", nil, 96 * mib, short("the process")},
			{"under it", nil, 94 * mib, Shortage{}},
		},
		"the kernel's part of a machine": {
			{"what the process takes is little", machineWith(300 * mib), 30 * mib, Shortage{}},
			{"near the reserve", machineWith(52 * mib), 30 * mib, Shortage{}},
			{"below it", machineWith(50 * mib), 30 * mib, short("the machine")},
			{"next to nothing", machineWith(20 * mib), 30 * mib, severe("the machine")},
			{"still about it", machineWith(60 * mib), 30 * mib, short("the machine")},
			{"enough", machineWith(70 * mib), 30 * mib, Shortage{}},
		},
		"the kernel's part of a control group": {
			{"little", groupWith(100*mib, 0), 30 * mib, Shortage{}},
			{"all, but for files", groupWith(256*mib, 200*mib), 30 * mib, Shortage{}},
			{"below the reserve", groupWith(250*mib, 18*mib), 30 * mib, short("the control group")},
			{"next to nothing", groupWith(250*mib, 0), 30 * mib, severe("the control group")},
			{"still about it", groupWith(250*mib, 22*mib), 30 * mib, short("the control group")},
			{"enough", groupWith(250*mib, 60*mib), 30 * mib, Shortage{}},
		},
		"who does not say what it uses": {
			{"a machine", map[string]string{"proc/meminfo": "MemTotal: 524288 kB\n"}, 30 * mib, Shortage{}},
			{"a group", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1048576\n"}, 30 * mib, Shortage{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := guard{root: t.TempDir(), limit: 100 * mib}
			for _, s := range steps {
				write(t, g.root, s.files)
				g.resident = func() int64 { return s.resident }
				before := g.now
				require.Equal(t, before != s.want, g.look(), s.name)
				require.Equal(t, s.want, g.now, s.name)
			}
		})
	}
}

// A machine of any size has some of it for others.
func TestReserve(t *testing.T) {
	for total, want := range map[int64]int64{64 * mib: 64 * mib / 10, 512 * mib: 512 * mib / 10, 64 << 30: 100 * mib} {
		require.Equal(t, want, reserve(total))
	}
}
