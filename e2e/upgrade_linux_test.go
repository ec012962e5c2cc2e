package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// A new server takes over from the old one on the same port, under load: nobody
// who comes is turned away, and who was there is told to come again.
func TestUpgradeWithoutAGap(t *testing.T) {
	migrate(t)
	old, oldAdmin := startAdmin(t, "--drain", "2s")
	port := old.addr[strings.LastIndexByte(old.addr, ':')+1:]

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

	fresh, freshAdmin := startAdmin(t, "--share-port", "--port", port)
	require.Equal(t, old.addr, fresh.addr)
	eventually(t, func() bool { return scrape(t, freshAdmin)["sigver_accepted_total"] > 100 }, "both are served")
	require.Positive(t, scrape(t, oldAdmin)["sigver_accepted_total"])
	old.signal(syscall.SIGTERM)
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

	// Without the flag a second server is a mistake.
	other := start(t)
	require.Contains(t, failedStart(t, "--port", other.addr[strings.LastIndexByte(other.addr, ':')+1:]), "address already in use")
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
	ctx := t.Context()
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
