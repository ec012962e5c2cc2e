package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// crowdSize is 15,000, or what the open-file limit leaves room for.
func crowdSize(t testing.TB) int {
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	n := min(15000, int(limit.Max)-500)
	if n < 15000 {
		t.Logf("the open-file limit of %d allows only %d connections here", limit.Max, n)
	}
	return n
}

// crowd is many idle Openers, each of them nothing but a socket.
type crowd struct {
	t     testing.TB
	conns []net.Conn
}

// gather lets n clients connect and open a key of 16 bytes each.
func gather(t testing.TB, s *instance, n int) *crowd {
	t.Helper()
	c := &crowd{t: t, conns: make([]net.Conn, n)}
	errs := make(chan error, n)
	var wg sync.WaitGroup
	const dialers = 16
	for d := range dialers {
		wg.Go(func() {
			for i := d; i < n; i += dialers {
				conn, err := openOne(s.addr, fmt.Sprintf("crowd-%010d", i), i)
				if err != nil {
					errs <- err
					return
				}
				c.conns[i] = conn
			}
		})
	}
	wg.Wait()
	t.Cleanup(c.leave)
	select {
	case err := <-errs:
		require.NoError(t, err)
	default:
	}
	return c
}

func openOne(addr, key string, i int) (net.Conn, error) {
	// Many source addresses: where an earlier crowd has left its ports waiting,
	// the kernel takes long to find a free one.
	source := net.IPv4(127, byte(1+rand.IntN(250)), byte(i>>8), 1)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: source}, Timeout: patience}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := openOver(conn, key); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func openOver(conn net.Conn, key string) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, upgradeRequest+masked(0x81, `{"open":"`+key+`"}`)); err != nil {
		return err
	}
	want := "\x81\x10" + `{"isKeyOk":true}`
	got := make([]byte, 0, 256)
	buf := make([]byte, 256)
	for !strings.HasSuffix(string(got), want) {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("after %q: %w", got, err)
		}
		got = append(got, buf[:n]...)
	}
	return conn.SetDeadline(time.Time{})
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
	c.conns = nil
}
