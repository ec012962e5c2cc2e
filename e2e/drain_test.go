package e2e

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who was accepted before the server began to stop comes in as if it had been a
// moment earlier, and is sent away as the others are. It would be refused for
// nothing where another server is there to take over.
func TestWhoIsAtTheDoorComesIn(t *testing.T) {
	s := start(t, "--drain", "1h", "--loops", "1")
	// They go one by one, in twenty seconds, and those who came last go first.
	for i := range 160 {
		dial(t, s).open(fmt.Sprint("staying ", i))
	}
	atTheDoor := dialRaw(t, s)
	exchange(t, s, "it has been accepted before these")
	s.signal(syscall.SIGTERM)
	eventually(t, func() bool { return !listens(s.addr[len("127.0.0.1:"):]) }, "it stops")
	atTheDoor.write(upgradeRequest)
	require.Contains(t, atTheDoor.header(), "101 Switching Protocols")
	atTheDoor.wantClose(1001, "GOING_AWAY")
}

// But nobody who says nothing is waited for as long as the server may take.
func TestWhoIsSilentAtTheDoorIsNotWaitedFor(t *testing.T) {
	s := start(t, "--drain", "1h", "--loops", "1", "--handshake-timeout", "1h")
	silent := dialRaw(t, s)
	exchange(t, s, "it has been accepted before these")
	s.signal(syscall.SIGTERM)
	require.Contains(t, silent.header(), "503 Service Unavailable")
	s.wantExit(0)
}
