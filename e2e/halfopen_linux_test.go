package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// cable is a network cable to a network of its own: pulling it is what a
// telephone in a tunnel does, and no packet says goodbye.
type cable struct {
	t     testing.TB
	near  string // the interface at this end
	far   string // the network namespace
	local string // the address at this end
}

// lay needs root and iproute2.
func lay(t testing.TB) *cable {
	t.Helper()
	id := os.Getpid() % 50000
	c := &cable{
		t:     t,
		near:  fmt.Sprintf("sv%d", id),
		far:   fmt.Sprintf("sigver-%d", id),
		local: fmt.Sprintf("10.%d.%d.1", 100+id/250%100, id%250),
	}
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", c.near).Run()
		_ = exec.Command("ip", "netns", "del", c.far).Run()
	})
	c.ip("netns add " + c.far)
	c.ip("link add " + c.near + " type veth peer name eth0 netns " + c.far)
	c.ip("addr add " + c.local + "/30 dev " + c.near)
	c.ip("link set " + c.near + " up")
	c.ip("-n " + c.far + " addr add " + strings.TrimSuffix(c.local, "1") + "2/30 dev eth0")
	c.ip("-n " + c.far + " link set eth0 up")
	return c
}

func (c *cable) ip(args string) {
	c.t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	require.NoError(c.t, err, "ip %s: %s(this test needs root and iproute2)", args, out)
}

// pull takes the far end away.
func (c *cable) pull() { c.ip("link set " + c.near + " down") }

// inside runs f in a thread that is in the far network.
func (c *cable) inside(f func()) {
	c.t.Helper()
	done := make(chan error)
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		namespace, err := os.Open("/run/netns/" + c.far)
		if err == nil {
			defer namespace.Close()
			err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- err
			return
		}
		f()
	}()
	require.NoError(c.t, <-done)
}

// connect dials from the far network.
func (c *cable) connect(s *instance) *raw {
	c.t.Helper()
	var conn net.Conn
	var err error
	c.inside(func() { conn, err = net.Dial("tcp", s.addr) })
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(c.t, conn.SetDeadline(time.Now().Add(patience)))
	return rawOver(c.t, conn)
}

// A peer whose network is gone says nothing at all: it is noticed all the same,
// its key is free and its Joinings are told; over Server-Sent Events too.
func TestHalfOpenConnections(t *testing.T) {
	c := lay(t)
	s, admin := startAdmin(t, "--host", c.local, "--heartbeat", "1s")

	opener := c.connect(s)
	opener.write(upgradeRequest)
	require.Contains(t, opener.header(), "101 ")
	opener.write(masked(0x81, `{"open":"tunnel"}`))
	_, text := opener.frame()
	require.Equal(t, `{"isKeyOk":true}`, string(text))
	stream := c.connect(s)
	stream.write(streamRequest)
	require.Contains(t, stream.header(), "200 OK")

	joining := dial(t, s)
	joining.join("tunnel")

	c.pull()
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
		out, err := exec.Command("ss", "-tnH", "state", "all", "sport = "+s.addr[strings.LastIndexByte(s.addr, ':'):], "dst", strings.TrimSuffix(c.local, "1")+"2").CombinedOutput()
		require.NoError(t, err, "%s(ss is of iproute2)", out)
		return len(out) == 0
	}, "the kernel keeps nothing of them")
}
