//go:build !race

package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// From the bytes of one socket to the bytes of the other, over the whole running
// server: nothing is allocated for a relayed message, in either direction.
func TestRelayAllocatesNothing(t *testing.T) {
	for _, loops := range []int{1, 2} {
		c := config(t)
		c.Loops = loops
		s := start(t, c)
		for _, size := range []int{120, 2000} {
			t.Run(fmt.Sprintf("%d bytes over %d loops", size, loops), func(t *testing.T) {
				opener, joining, id := wires(t, s, fmt.Sprint(size))
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
