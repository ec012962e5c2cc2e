//go:build linux

package proc_test

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sigver/bench/proc"
)

func TestOwnProcessIsReadable(t *testing.T) {
	self := os.Getpid()
	used, err := proc.ReadCPU(self)
	require.NoError(t, err)
	require.Positive(t, used.Total)
	var rusage unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &rusage))
	require.LessOrEqual(t, used.Total.Nanoseconds(), rusage.Utime.Nano()+rusage.Stime.Nano()+1e6)

	resident, err := proc.Resident(self)
	require.NoError(t, err)
	require.Greater(t, resident, int64(1<<20))

	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	files, err := proc.FileLimit(self)
	require.NoError(t, err)
	require.EqualValues(t, min(limit.Cur, 1<<30), files)

	before, err := proc.Sockets(self)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	after, err := proc.Sockets(self)
	require.NoError(t, err)
	require.Equal(t, before+1, after)
}

func TestKernelIsReadable(t *testing.T) {
	k, err := proc.ReadKernel()
	require.NoError(t, err)
	require.Positive(t, k.Slab)
	busy, err := proc.BusyCPU()
	require.NoError(t, err)
	require.Positive(t, busy)
	m := proc.Machine()
	require.NotEmpty(t, m.Kernel)
	require.NotEmpty(t, m.CPU)
	require.Positive(t, m.Memory)
	require.Positive(t, m.OpenFiles)
	require.Positive(t, m.Somaxconn)
	require.NotEmpty(t, m.LocalPorts)
}

// untilAsked begins a script that ends, at its last wait, as a server should.
const untilAsked = "trap 'kill $!; exit 0' TERM; sleep 60 & "

// Programs log their URL in different ways, to either stream.
func TestServerTellsItsURL(t *testing.T) {
	for script, want := range map[string]string{
		`echo listening ws://127.0.0.1:8000`:                              "ws://127.0.0.1:8000",
		`echo 'level=INFO msg="listening" url=ws://[::1]:81 loops=2' >&2`: "ws://[::1]:81",
		`echo '{"url":"wss://a.example:9"}'`:                              "wss://a.example:9",
	} {
		cmd := exec.Command("sh", "-c", untilAsked+script+"; wait")
		s, err := proc.Serve(t.Context(), cmd, nil)
		require.NoError(t, err)
		require.Equal(t, want, s.URL)
		require.NoError(t, s.Stop())
		<-s.Done()
	}
}

func TestServerThatEndsSaysWhy(t *testing.T) {
	_, err := proc.Serve(t.Context(), exec.Command("sh", "-c", "echo no such luck; exit 3"), nil)
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "no such luck")
}

func TestStopTellsOfABadEnd(t *testing.T) {
	for script, says := range map[string]string{
		"echo ws://127.0.0.1:1; exec sleep 60":                                "signal: terminated",
		"trap 'kill $!; exit 7' TERM; sleep 60 & echo ws://127.0.0.1:1; wait": "exit status 7",
	} {
		s, err := proc.Serve(t.Context(), exec.Command("sh", "-c", script), nil)
		require.NoError(t, err)
		require.ErrorContains(t, s.Stop(), says)
	}
	s, err := proc.Serve(t.Context(), exec.Command("sh", "-c", "echo ws://127.0.0.1:1; exit 0"), nil)
	require.NoError(t, err)
	<-s.Done()
	require.ErrorContains(t, s.Stop(), "had ended before it was asked to: exit status 0")
}

func TestPinnedProcessSeesItsCoresOnly(t *testing.T) {
	s, err := proc.Serve(t.Context(), exec.Command("sh", "-c", "echo ws://127.0.0.1:$(nproc); exec sleep 60"), proc.Cores{0})
	require.NoError(t, err)
	defer func() { _ = s.Stop() }()
	require.Equal(t, "ws://127.0.0.1:1", s.URL)

	var own unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &own))
	rest, err := proc.Cores{0}.Others()
	require.NoError(t, err)
	require.Len(t, rest, own.Count()-1)
	require.NotContains(t, rest, 0)
}

func TestParseCores(t *testing.T) {
	cores, err := proc.ParseCores("0,2-4")
	require.NoError(t, err)
	require.Equal(t, "0,2,3,4", cores.String())
	none, err := proc.ParseCores("")
	require.NoError(t, err)
	require.Empty(t, none)
	for _, list := range []string{"x", "1-", "2-1", "-1", "0,,1", "5000"} {
		_, err := proc.ParseCores(list)
		require.ErrorContains(t, err, list)
	}
}
