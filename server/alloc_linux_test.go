//go:build !race

package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// From the bytes of one socket to the bytes of the other, over the whole running
// server: nothing is allocated for a relayed message, in either direction. A pair is on
// one loop, but not the last ones of a crowd.
func TestRelayAllocatesNothing(t *testing.T) {
	for _, others := range []int{0, 40, 41, 42, 43} {
		s := start(t, config(t))
		for _, size := range []int{120, 2000} {
			t.Run(fmt.Sprintf("%d bytes after %d others", size, others), func(t *testing.T) {
				opener := dialWire(t, s)
				opener.do(fmt.Sprintf(`{"open":"%d"}`, size))
				for range others {
					dialWire(t, s).do(fmt.Sprintf(`{"join":"%d"}`, size))
				}
				joining, id := joinWire(t, s, opener, fmt.Sprint(size))
				data := strings.Repeat("x", size)
				up := frame(`{"data":"` + data + `"}`)
				upRelayed := len(frame(fmt.Sprintf(`{"id":%d,"data":"%s"}`, id, data))) - 4
				down := frame(fmt.Sprintf(`{"id":%d,"data":"%s"}`, id, data))
				downRelayed := len(up) - 4
				// A parser starts afresh every 256 KiB; the average is per message.
				require.Zero(t, testing.AllocsPerRun(2000, func() {
					joining.write(up)
					opener.read(upRelayed)
				}))
				require.Zero(t, testing.AllocsPerRun(2000, func() {
					opener.write(down)
					joining.read(downRelayed)
				}))
			})
		}
	}
}
