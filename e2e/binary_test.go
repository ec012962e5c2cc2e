// Package e2e tests the built program from outside, over real sockets, with
// clients that share no code with it.
package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// program is the path of the program under test.
var program string

func TestMain(m *testing.M) {
	if addr := os.Getenv(clientEnv); addr != "" {
		os.Exit(beClient(addr))
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sigver-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "sigver")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "sigver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile builds it
	if raced {
		build = exec.Command("go", "build", "-race", "-o", program, "sigver")
	}
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building sigver:", err)
		return 1
	}
	return m.Run()
}

// instance is a running sigver.
type instance struct {
	t    testing.TB
	cmd  *exec.Cmd
	url  string // ws://… or wss://…
	addr string // host:port
	done chan struct{}

	other *instance // of startNodes
	turns atomic.Uint32

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
	err error        // of Wait; read after done
}

var listening = regexp.MustCompile(`url=(wss?)://(\S+)`)

// start runs the binary on a free port of the loopback and waits until it
// listens. It is killed with the test.
func start(t testing.TB, args ...string) *instance {
	t.Helper()
	return startCommand(t, exec.Command(program, append([]string{"--host", "127.0.0.1", "--port", "0"}, args...)...))
}

func startCommand(t testing.TB, cmd *exec.Cmd) *instance {
	t.Helper()
	s := &instance{t: t, cmd: cmd, done: make(chan struct{})}
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ready := make(chan []string, 1)
	go s.readLog(stderr, ready)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-s.done
		if raced && strings.Contains(s.logged(), "DATA RACE") {
			t.Errorf("the server has a data race")
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.logged())
		}
	})
	select {
	case found := <-ready:
		s.addr = found[2]
		s.url = found[1] + "://" + s.addr
	case <-s.done:
		require.Fail(t, "the server ended", s.logged())
	case <-time.After(patience):
		require.Fail(t, "the server does not listen", s.logged())
	}
	return s
}

// next is whose turn it is.
func (s *instance) next() *instance {
	if s.other != nil && s.turns.Add(1)%2 == 0 {
		return s.other
	}
	return s
}

// nodes are all that s is.
func (s *instance) nodes() []*instance {
	if s.other != nil {
		return []*instance{s, s.other}
	}
	return []*instance{s}
}

func (s *instance) readLog(stderr io.Reader, ready chan<- []string) {
	defer close(s.done)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		s.mu.Lock()
		s.log.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			ready <- found
		}
	}
	s.err = s.cmd.Wait()
}

func (s *instance) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *instance) signal(sig os.Signal) {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(sig))
}

// wantExit waits for the end of the process and checks its status.
func (s *instance) wantExit(status int) {
	s.t.Helper()
	select {
	case <-s.done:
		require.Equal(s.t, status, s.cmd.ProcessState.ExitCode(), s.logged())
	case <-time.After(patience):
		require.Fail(s.t, "the server does not end")
	}
}

func (s *instance) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
}

// files counts the server's open descriptors.
func (s *instance) files() int {
	s.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	require.NoError(s.t, err)
	return len(entries)
}

// resident is the server's memory in bytes (VmRSS).
func (s *instance) resident() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	require.NoError(s.t, err)
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			require.NoError(s.t, err)
			return kib << 10
		}
	}
	require.Fail(s.t, "no VmRSS")
	return 0
}

// cpu is the processor time that the server has used.
func (s *instance) cpu() time.Duration {
	s.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	require.NoError(s.t, err)
	// The fields after the name, which is in parentheses and may hold spaces.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(s.t, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(s.t, err)
	const perSecond = 100 // USER_HZ on every Linux that Go runs on
	return time.Duration(user+system) * time.Second / perSecond
}
