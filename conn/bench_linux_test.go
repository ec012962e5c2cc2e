package conn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// BenchmarkRelay is from the bytes of one client to the out buffer of another,
// with the reads and writes of 16 messages each over a socket pair.
func BenchmarkRelay(b *testing.B) {
	const batch = 16
	for _, size := range []int{120, 2000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			l := newLoop(b, generous)
			l.do(func() {
				from, to := l.echoes()
				defer from.end()
				defer to.end()
				messages := []byte(strings.Repeat(frame(text, strings.Repeat("x", size)), batch))
				buf := make([]byte, 64<<10)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for i := 0; b.Loop(); i++ {
					if i%batch == 0 {
						from.pass(messages)
						to.drain(buf)
					}
				}
			})
		})
	}
}

// BenchmarkMessage is the same without the socket: one message's bytes, copied as
// a read would, to frame, Message, Send and the out buffer of another connection.
func BenchmarkMessage(b *testing.B) {
	for _, size := range []int{120, 2000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			l := newLoop(b, generous)
			l.do(func() {
				from, to := l.echoes()
				defer from.end()
				defer to.end()
				message := []byte(frame(text, strings.Repeat("x", size)))
				buf := make([]byte, len(message)) // is unmasked in place
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					copy(buf, message)
					from.Receive(buf)
					to.DropOutput()
				}
			})
		})
	}
}

// BenchmarkUnmask is the library's part of that.
func BenchmarkUnmask(b *testing.B) {
	for _, size := range []int{120, 2000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				ws.Cipher(payload, [4]byte{1, 2, 3, 4}, 0)
			}
		})
	}
}

// BenchmarkHandshake is a connection's whole life without messages: register,
// upgrade, end.
func BenchmarkHandshake(b *testing.B) {
	l := newLoop(b, generous)
	l.do(func() {
		b.ReportAllocs()
		for b.Loop() {
			from, to := l.echoes()
			from.end()
			to.end()
		}
	})
}
