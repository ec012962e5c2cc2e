//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

// program starts bench as a process of its own, with a small load. end waits
// until it is over and returns its exit status and what it has printed.
func program(t *testing.T, folder string, args ...string) (cmd *exec.Cmd, end func() (status int, printed string)) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.Command(self, append([]string{
		"--pairs", "50", "--drivers", "2", "--in-flight", "8", "--timeout", "10s", "--settle", "2s",
		"--duration", "1s", "--warm-up", "50ms", "--quiet", "100ms", "--results", folder, "--name", "test",
	}, args...)...)
	cmd.Env = append(os.Environ(), programVariable+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	killer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		killer.Stop()
		_ = cmd.Process.Kill() // fails if it is over, as it should be
	})
	return cmd, func() (int, string) {
		_ = cmd.Wait() // what it says is the exit status
		return cmd.ProcessState.ExitCode(), out.String()
	}
}

func TestExitStatus(t *testing.T) {
	relay := []string{"--scenarios", "relay", "--relay-pairs", "5"}
	cases := []struct {
		name   string
		fault  *faulty // nil: none
		load   []string
		status int
		says   string
	}{
		{name: "no fault", load: relay, says: "relay"},
		{name: "a message is lost", fault: &faulty{fault: "drop", after: 40}, load: relay, status: exitFaults, says: "1 lost"},
		{name: "a message is doubled", fault: &faulty{fault: "double", after: 40}, load: relay, status: exitFaults, says: "1 doubled"},
		{name: "nobody warms up", fault: &faulty{fault: "refuse", after: 3}, load: []string{"--scenarios", "idle"}, status: exitFaults, says: "1 key refused"},
		{name: "a mistake", load: []string{"--scenarios", "nap"}, status: exitUsage, says: "--scenarios nap"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.fault == nil {
				c.fault = new(faulty)
			}
			_, end := program(t, t.TempDir(), append([]string{"--target", c.fault.serve(t, false)}, c.load...)...)
			status, printed := end()
			require.Equal(t, c.status, status, printed)
			require.Contains(t, printed, c.says)
		})
	}
}

func TestCtrlCPrintsWhatThereIs(t *testing.T) {
	folder := t.TempDir()
	server := faulty{fault: "count", after: 100, met: make(chan struct{})}
	cmd, end := program(t, folder, "--target", server.serve(t, false), "--scenarios", "relay,sessions", "--relay-pairs", "2", "--duration", "1h")
	select {
	case <-server.met:
	case <-time.After(30 * time.Second):
		t.Fatal("no load")
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	status, printed := end()
	require.Equal(t, exitFaults, status, printed)
	require.Contains(t, printed, "Stopped before the end.")
	r, err := report.ReadJSON(folder + "/test.json")
	require.NoError(t, err)
	require.Len(t, r.Scenarios, 1)
	require.Empty(t, r.Scenarios[0].Errors)
	require.FileExists(t, folder+"/test.html")
}
