package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// clientEnv makes this test's program a client of the address that it names: it
// opens the key "frozen" and then waits to be killed.
const clientEnv = "SIGVER_E2E_CLIENT"

func beClient(addr string) int {
	if _, err := openOne(addr, "frozen", 0); err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		return 1
	}
	os.Stdout.WriteString("ready\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// frozenClient starts an Opener of the key "frozen" in a process of its own and
// stops that process.
func frozenClient(t *testing.T, s *instance) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), clientEnv+"="+s.addr)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) // which ends its output
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.True(t, late.Stop(), "it takes too long")
	require.Equal(t, "ready\n", line)
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
}

// neverReads is an Opener of the key "frozen" in this process that reads
// nothing.
func neverReads(t *testing.T, s *instance) {
	t.Helper()
	r := upgradeRaw(t, s)
	r.write(masked(0x81, `{"open":"frozen"}`))
	_, payload := r.frame()
	require.Equal(t, `{"isKeyOk":true}`, string(payload))
}

// An Opener that reads nothing more is flooded by its Joining. It alone is
// closed, its key becomes free, its Joining is told, nobody else notices, and
// the server's memory comes back.
func TestAClientThatDoesNotReadHarmsOnlyItself(t *testing.T) {
	for name, tc := range map[string]struct {
		start  func(testing.TB, ...string) *instance
		opener func(*testing.T, *instance)
	}{
		"its process is stopped":         {start, frozenClient},
		"it never reads":                 {start, neverReads},
		"it never reads at another node": {startNodes, neverReads},
	} {
		t.Run(name, func(t *testing.T) {
			s := tc.start(t, "--rate", "0")
			tc.opener(t, s)
			nodes := s.nodes()
			joining := dial(t, nodes[len(nodes)-1])
			joining.join("frozen")
			payload := `{"data":"` + strings.Repeat("x", 60<<10) + `"}`
			sent := 0
			flood := make(chan error, 1)
			go func() {
				for ; ; sent += len(payload) {
					if err := joining.conn.Write(t.Context(), websocket.MessageText, []byte(payload)); err != nil {
						flood <- err
						return
					}
				}
			}()
			for i := range 20 {
				exchange(t, s, fmt.Sprint("meanwhile ", i))
			}
			joining.wantClose(4020, "OPENER_NO_LONGER_AVAILABLE")
			_ = joining.conn.CloseNow()
			require.Error(t, <-flood)
			t.Logf("closed after %d KiB", sent>>10)
			require.Greater(t, sent, 1<<20, "closed before the limit")
			// The key is free.
			eventually(t, func() bool {
				_, answer := opens(t, s, "frozen")
				return answer == `{"isKeyOk":true}`
			}, "the key is free")
			exchange(t, s, "afterwards")
		})
	}
}

// dialOnce says what becomes of one handshake.
func dialOnce(t testing.TB, s *instance) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return websocket.Dial(ctx, s.url, nil)
}

// A server that has room for no more says so, and serves again as soon as one
// leaves. It must not spin on those who wait.
func TestFullServer(t *testing.T) {
	for name, command := range map[string]func() *exec.Cmd{
		"by its own limit": func() *exec.Cmd {
			return exec.Command(program, "--host", "127.0.0.1", "--port", "0", "--max-connections", "20")
		},
		"by the open-file limit": func() *exec.Cmd {
			return exec.Command("sh", "-c", "ulimit -n 132; exec "+program+" --host 127.0.0.1 --port 0 --loops 2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startCommand(t, command())
			const room = 20
			c := gather(t, s, room)
			for range 3 {
				_, resp, err := dialOnce(t, s)
				require.Error(t, err)
				require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
				require.NotEmpty(t, resp.Header.Get("Retry-After"))
			}
			// A crowd that is over every limit and does not go away.
			var waiting []*raw
			for range 150 {
				waiting = append(waiting, dialRaw(t, s))
			}
			before := s.cpu()
			time.Sleep(time.Second) // the stretch of time that is measured
			require.Less(t, s.cpu()-before, 300*time.Millisecond, "the server spins")
			for _, r := range waiting {
				require.NoError(t, r.conn.Close())
			}
			require.NoError(t, c.conns[0].Close())
			eventually(t, func() bool {
				conn, _, err := dialOnce(t, s)
				if err == nil {
					_ = conn.CloseNow()
				}
				return err == nil
			}, "a place that became free is not given away")
			require.LessOrEqual(t, strings.Count(s.logged(), "\n"), 8, "one line is enough: %s", s.logged())
		})
	}
}

func TestAddressInUse(t *testing.T) {
	s := start(t)
	_, port, _ := strings.Cut(s.addr, ":")
	out, err := bounded(t, "--host", "127.0.0.1", "--port", port).CombinedOutput()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit))
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, string(out), s.addr)
	require.Contains(t, string(out), "address already in use")
}
