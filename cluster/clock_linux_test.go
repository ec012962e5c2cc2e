package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sigver/cluster"
)

// The clock of leases is the kernel's uptime, which goes on while the machine sleeps.
func TestTheClockOfLeases(t *testing.T) {
	var info unix.Sysinfo_t
	require.NoError(t, unix.Sysinfo(&info))
	require.InDelta(t, info.Uptime, cluster.Uptime().Seconds(), 10)
}
