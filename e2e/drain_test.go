package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Who was accepted before the server began to stop comes in as if it had been a
// moment earlier, and is sent away as the others are. It would be refused for
// nothing where another server is there to take over.
func TestWhoIsAtTheDoorComesIn(t *testing.T) {
	s := start(t, "--drain", "5s", "--loops", "1")
	atTheDoor, late := dialRaw(t, s), dialRaw(t, s)
	exchange(t, s, "they have been accepted before these")
	s.signal(syscall.SIGTERM)
	eventually(t, func() bool { return !listens(s.addr[len("127.0.0.1:"):]) }, "it stops")
	atTheDoor.write(upgradeRequest)
	require.Contains(t, atTheDoor.header(), "101 Switching Protocols")
	atTheDoor.wantClose(1001, "GOING_AWAY")

	// But nobody is waited for long.
	began := time.Now()
	require.Contains(t, late.header(), "503 Service Unavailable")
	require.Less(t, time.Since(began), 4*time.Second)
	s.wantExit(0)
}
