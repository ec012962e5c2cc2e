package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkRelay sends messages through the running server over loopback
// sockets, some of them in flight, client's side included.
func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{120, 2000} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("bytes=%d/flight=%d", size, depth), func(b *testing.B) {
				c := config(b)
				c.Loops = 1
				s := start(b, c)
				opener, joining, id := wires(b, s, "bench")
				data := strings.Repeat("x", size)
				one := frame(`{"data":"` + data + `"}`)
				batch := []byte(strings.Repeat(string(one), depth))
				relayed := len(frame(fmt.Sprintf(`{"id":%d,"data":"%s"}`, id, data))) - 4
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for i := 0; b.Loop(); i++ {
					if i%depth == 0 {
						joining.write(batch)
						opener.read(relayed * depth)
					}
				}
			})
		}
	}
}

// BenchmarkOpenAndClose is a whole life: connect, upgrade, open, close, end.
func BenchmarkOpenAndClose(b *testing.B) {
	s := start(b, config(b))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		w := dialWire(b, s)
		w.do(fmt.Sprintf(`{"open":"%d"}`, i))
		w.write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8})
		require.Equal(b, "\x88\x02\x03\xe8", string(w.read(4)))
		require.NoError(b, unix.Shutdown(w.fd, unix.SHUT_RDWR))
	}
}
