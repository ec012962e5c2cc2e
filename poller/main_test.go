package poller_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sigver/poller"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

// startLoop opens a loop that is closed, and checked for leaks, with the test.
func startLoop(t testing.TB) *poller.Loop {
	t.Helper()
	l, err := poller.Open(func(err error) { t.Errorf("loop died: %v", err) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}
