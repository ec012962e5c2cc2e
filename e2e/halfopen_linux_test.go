package e2e

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sigver/soak/cable"
)

// lay lays a cable that is gone when the test is over.
func lay(t testing.TB) *cable.Cable {
	t.Helper()
	c, err := cable.Lay()
	require.NoError(t, err)
	t.Cleanup(c.Remove)
	return c
}

// dialThrough dials s from the far end of c.
func dialThrough(t testing.TB, c *cable.Cable, s *instance) *raw {
	t.Helper()
	var conn net.Conn
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		namespace, err := os.Open("/run/netns/" + c.Namespace)
		if err == nil {
			defer namespace.Close()
			err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			conn, err = net.DialTimeout("tcp", s.addr, patience)
		}
		done <- err
	}()
	require.NoError(t, <-done)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return rawOver(t, conn)
}

// A peer whose network is gone says nothing at all: it is noticed all the same,
// its key is free and its Joinings are told; over Server-Sent Events too.
func TestHalfOpenConnections(t *testing.T) {
	c := lay(t)
	s, admin := startAdmin(t, "--host", c.Local, "--heartbeat", "1s")

	opener := dialThrough(t, c, s)
	opener.write(upgradeRequest)
	require.Contains(t, opener.header(), "101 ")
	opener.write(masked(0x81, `{"open":"tunnel"}`))
	_, text := opener.frame()
	require.Equal(t, `{"isKeyOk":true}`, string(text))
	stream := dialThrough(t, c, s)
	stream.write(streamRequest)
	require.Contains(t, stream.header(), "200 OK")

	joining := dial(t, s)
	joining.join("tunnel")

	require.NoError(t, c.Pull())
	joining.send(`{"data":"into the dark"}`) // so that there are unacknowledged bytes
	begun := time.Now()
	joining.wantClose(4020, "OPENER_NO_LONGER_AVAILABLE")
	require.Less(t, time.Since(begun), 10*time.Second)
	exchange(t, s, "tunnel") // its key is free

	// And nothing is left of them, in the kernel either.
	eventually(t, func() bool {
		now := scrape(t, admin)
		return now[`sigver_connections{transport="websocket"}`] == 0 && now[`sigver_connections{transport="sse"}`] == 0 &&
			now[`sigver_connections{transport="other"}`] == 0
	}, "both half-open connections are gone")
	eventually(t, func() bool {
		out, err := exec.Command("ss", "-tnH", "state", "all", "sport = "+s.addr[strings.LastIndexByte(s.addr, ':'):], "dst", c.Far).CombinedOutput()
		require.NoError(t, err, "%s(ss is of iproute2)", out)
		return len(out) == 0
	}, "the kernel keeps nothing of them")
}
