//go:build !race

// A server with the race detector takes many times the memory and the time.

package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What an idle connection with TLS costs. The budget is 7 KB resident; the baseline
// is the same server without anybody.
func TestAnIdleTLSConnectionFitsItsBudget(t *testing.T) {
	const n = 3000
	s := startTLS(t)
	open := func(key string) (net.Conn, error) {
		c, err := tryTLS(s, trusted())
		if err != nil {
			return nil, err
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return c, err
		}
		if _, err := io.WriteString(c, upgradeRequest+masked(0x81, `{"open":"`+key+`"}`)); err != nil {
			return c, err
		}
		want := `{"isKeyOk":true}`
		var got []byte
		for !strings.HasSuffix(string(got), want) {
			buf := make([]byte, 512)
			read, err := c.Read(buf)
			if err != nil {
				return c, err
			}
			got = append(got, buf[:read]...)
		}
		return c, nil
	}
	gather := func(name string, n int) (leave func()) {
		conns, errs := make([]net.Conn, n), make([]error, n)
		var all sync.WaitGroup
		const dialers = 8
		for d := range dialers {
			all.Go(func() {
				for i := d; i < n; i += dialers {
					conns[i], errs[i] = open(fmt.Sprintf("%s %d", name, i))
				}
			})
		}
		all.Wait()
		leave = func() {
			for _, c := range conns {
				if c != nil {
					_ = c.Close()
				}
			}
		}
		t.Cleanup(leave)
		for _, err := range errs {
			require.NoError(t, err)
		}
		return leave
	}
	// A small crowd first, as for those without TLS.
	files := s.files() + 2
	gather("first", 200)()
	eventually(t, func() bool { return s.files() <= files }, "descriptors are left over")
	before := s.resident()
	gather("second", n)
	// What handshakes have left goes when the server gives back what it does not need.
	each := func() float64 { return float64(s.resident()-before) / n }
	eventually(t, func() bool { return each() < 7000 }, "a TLS connection is over its budget")
	t.Logf("%d idle TLS connections: %.0f resident bytes each (%d KiB without them)", n, each(), before>>10)
}
