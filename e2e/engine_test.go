package e2e

import (
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// engine is a Redis server of the test's own.
type engine struct {
	t    testing.TB
	port string
	dir  string
	args []string
	cmd  *exec.Cmd
}

func startEngine(t testing.TB, args ...string) *engine {
	t.Helper()
	e := &engine{t: t, port: freePort(t), dir: t.TempDir(), args: args}
	e.run()
	t.Cleanup(e.kill)
	return e
}

// run starts it, with what it had saved.
func (e *engine) run() {
	e.t.Helper()
	e.cmd = exec.Command("redis-server", append([]string{"--port", e.port, "--bind", "0.0.0.0", "--protected-mode", "no",
		"--dir", e.dir, "--appendonly", "yes", "--appendfsync", "no", "--save", ""}, e.args...)...)
	require.NoError(e.t, e.cmd.Start(), "apt-get install redis-server")
	eventually(e.t, func() bool { return listens(e.port) }, "the engine listens")
}

func listens(port string) bool {
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	return err == nil && conn.Close() == nil
}

func (e *engine) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

func (e *engine) url() string { return "redis://127.0.0.1:" + e.port }

// node starts a server that shares the engine's keys.
func (e *engine) node(args ...string) *instance {
	e.t.Helper()
	return start(e.t, append([]string{"--cluster", e.url()}, args...)...)
}

// startNodes starts two servers that share their keys, as one instance: each
// connection and each request goes to the one that the last did not.
func startNodes(t testing.TB, args ...string) *instance {
	t.Helper()
	e := startEngine(t)
	s := e.node(args...)
	s.other = e.node(args...)
	return s
}

// freePort is one that no connection to elsewhere takes in the meantime, since the
// system gives those ports from 32768 on.
func freePort(t testing.TB) string {
	t.Helper()
	for {
		port := strconv.Itoa(20_000 + rand.IntN(12_768))
		listener, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			require.NoError(t, listener.Close())
			return port
		}
	}
}
