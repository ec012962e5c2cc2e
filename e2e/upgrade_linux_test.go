package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

const upgradeScript = "../deploy/upgrade.sh"

// The script puts a new server in the place of the old one, under load: nobody who
// comes is turned away, and who was there is told to come again.
func TestUpgradeWithoutAGap(t *testing.T) {
	migrate(t)
	port, adminPort := freePort(t), freePort(t)
	old := start(t, "--drain", "2s", "--port", port, "--admin", "127.0.0.1:"+adminPort)

	var wg sync.WaitGroup
	var came, failed atomic.Int64
	var why atomic.Value
	done := make(chan struct{})
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if err := comeAndGo(t, old, fmt.Sprintf("127.77.%d.%d", g, 1+i%200), fmt.Sprintf("%d-%d", g, i)); err != nil {
					failed.Add(1)
					why.Store(err.Error())
				}
				came.Add(1)
			}
		})
	}
	staying := dial(t, old)
	staying.open("staying")
	eventually(t, func() bool { return came.Load() > 500 }, "load")

	log := filepath.Join(t.TempDir(), "log")
	fresh := upgrade(t, old, log)
	old.wantExit(0)
	after := came.Load()
	eventually(t, func() bool { return came.Load() > after+500 }, "load afterwards")
	close(done)
	wg.Wait()
	t.Logf("%d clients came and went, %d failed", came.Load(), failed.Load())
	require.Zero(t, failed.Load(), "%v", why.Load())
	if _, err := staying.read(); websocket.CloseStatus(err) != 1001 {
		require.NoError(t, err)
	}
	require.Greater(t, scrape(t, "http://127.0.0.1:"+adminPort)["sigver_accepted_total"], 500.0)
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", fresh))
	require.NoError(t, err)
	require.Contains(t, string(arguments), "\x00--drain\x002s\x00", "it is set as the old one was")
	logged, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(logged), "msg=listening")
}

// upgrade runs the script, and ends the new server with the test.
func upgrade(t *testing.T, old *instance, log string) (fresh int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, upgradeScript, strconv.Itoa(old.cmd.Process.Pid), program)
	cmd.WaitDelay = patience
	cmd.Env = append(os.Environ(), "LOG="+log)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	fresh, err = strconv.Atoi(strings.TrimSpace(string(out)))
	require.NoError(t, err, string(out))
	t.Cleanup(func() { _ = syscall.Kill(fresh, syscall.SIGKILL) })
	return fresh
}

func TestUpgradesThatCannotBe(t *testing.T) {
	s := start(t)
	broken := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(broken, []byte("#!/bin/sh\nexit 1\n"), 0o755))
	for complaint, args := range map[string][]string{
		"usage":                                  {},
		"is no process":                          {"999999999"},
		"is no program":                          {strconv.Itoa(s.cmd.Process.Pid), "../go.mod"},
		"listens on no address":                  {strconv.Itoa(os.Getpid())},
		"the new one ended and the old one goes": {strconv.Itoa(s.cmd.Process.Pid), broken},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, upgradeScript, args...).CombinedOutput()
		require.Error(t, err, complaint)
		require.Contains(t, string(out), complaint)
	}
	exchange(t, s, "the old one is there")
}

// The script does not wait for ever for an old server that does not end.
func TestAnUpgradeWhoseOldServerStays(t *testing.T) {
	s := start(t, "--drain", "1h", "--port", freePort(t))
	for i := range 20 { // who are sent away over that hour
		dial(t, s).open(fmt.Sprint("staying ", i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, upgradeScript, strconv.Itoa(s.cmd.Process.Pid), program)
	cmd.Env = append(os.Environ(), "WAIT=1", "LOG="+filepath.Join(t.TempDir(), "log"))
	out, err := cmd.Output()
	fresh, e := strconv.Atoi(strings.TrimSpace(string(out)))
	require.NoError(t, e, string(out))
	t.Cleanup(func() { _ = syscall.Kill(fresh, syscall.SIGKILL) })
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Contains(t, string(exit.Stderr), fmt.Sprintf("%d has not ended in 1 s", s.cmd.Process.Pid))
	require.NoError(t, syscall.Kill(fresh, 0), "the new one goes on")
}

// Without --share-port a second server on an address is a mistake.
func TestASecondServerIsAMistake(t *testing.T) {
	s, admin := startAdmin(t)
	require.Contains(t, failedStart(t, "--port", s.addr[strings.LastIndexByte(s.addr, ':')+1:]), "address already in use")
	require.Contains(t, failedStart(t, "--port", "0", "--admin", strings.TrimPrefix(admin, "http://")), "address already in use")
}

// migrate lets the kernel hand connections that are just being made to the other
// server, as deploy/sysctl.conf does. Without it one that comes between the last
// accept and the close of the old one's socket would be reset.
func migrate(t *testing.T) {
	const setting = "/proc/sys/net/ipv4/tcp_migrate_req"
	before, err := os.ReadFile(setting)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(setting, []byte("1"), 0o644), "this test needs root")
	t.Cleanup(func() { _ = os.WriteFile(setting, before, 0o644) })
}

// comeAndGo opens a key and leaves. To be sent away in between is no failure: the
// server may stop at any time.
func comeAndGo(t *testing.T, s *instance, from, key string) error {
	conn, err := connectFrom(t, s, from)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"open":"`+key+`"}`)); err != nil {
		return goingAwayIsFine(err)
	}
	_, answer, err := conn.Read(ctx)
	if err != nil {
		return goingAwayIsFine(err)
	}
	if string(answer) != `{"isKeyOk":true}` {
		return errors.New(string(answer))
	}
	return nil
}

func goingAwayIsFine(err error) error {
	if websocket.CloseStatus(err) == websocket.StatusGoingAway {
		return nil
	}
	return err
}

// failedStart returns what a server says that cannot start.
func failedStart(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, append([]string{"--host", "127.0.0.1"}, args...)...).CombinedOutput()
	require.Error(t, err)
	return string(out)
}
