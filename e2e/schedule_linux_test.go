package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// No thread interrupts others when it is woken, unless the operator has chosen
// something else.
func TestSchedulingPolicy(t *testing.T) {
	t.Run("all threads", func(t *testing.T) {
		s := start(t)
		exchange(t, s, "key")
		for _, policy := range policies(t, s) {
			require.EqualValues(t, unix.SCHED_BATCH, policy.Policy)
		}
	})
	t.Run("nice stays", func(t *testing.T) {
		s := startBy(t, "nice", "-n", "7")
		for _, policy := range policies(t, s) {
			require.EqualValues(t, unix.SCHED_BATCH, policy.Policy)
			require.EqualValues(t, 7, policy.Nice)
		}
	})
	t.Run("another policy stays", func(t *testing.T) {
		s := startBy(t, "chrt", "--idle", "0")
		exchange(t, s, "key")
		for _, policy := range policies(t, s) {
			require.EqualValues(t, unix.SCHED_IDLE, policy.Policy)
		}
	})
}

// One thread more may run than there are loops, unless the operator has chosen.
func TestSpareProcessor(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	s, admin := startAdmin(t, "--loops", "7")
	require.EqualValues(t, 8, scrape(t, admin)["go_gomaxprocs"])
	s.stop()
	t.Setenv("GOMAXPROCS", "3")
	_, admin = startAdmin(t, "--loops", "7")
	require.EqualValues(t, 3, scrape(t, admin)["go_gomaxprocs"])
}

// startBy starts the server by another program, which becomes it.
func startBy(t *testing.T, command ...string) *instance {
	t.Helper()
	command = append(command, program, "--host", "127.0.0.1", "--port", "0")
	return startCommand(t, exec.Command(command[0], command[1:]...))
}

// policies are those of the server's threads.
func policies(t *testing.T, s *instance) (all []*unix.SchedAttr) {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.cmd.Process.Pid))
	require.NoError(t, err)
	require.NotEmpty(t, threads)
	for _, thread := range threads {
		id, err := strconv.Atoi(filepath.Base(thread))
		require.NoError(t, err)
		policy, err := unix.SchedGetAttr(id, 0)
		require.NoError(t, err)
		all = append(all, policy)
	}
	return all
}
