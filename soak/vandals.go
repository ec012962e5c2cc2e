package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

const upgradeRequest = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// vandals are clients that do what none should.
type vandals struct {
	addr string
	seed uint64
	done chan struct{} // nil while they rest
	wg   sync.WaitGroup
}

func newVandals(addr string, seed uint64) *vandals { return &vandals{addr: addr, seed: seed} }

func (v *vandals) start() {
	v.done = make(chan struct{})
	for i := range 8 {
		chance := rand.New(rand.NewPCG(v.seed, uint64(1000+i)))
		v.wg.Go(func() {
			for {
				select {
				case <-v.done:
					return
				case <-time.After(time.Duration(chance.IntN(100)) * time.Millisecond):
					v.once(chance)
				}
			}
		})
	}
}

func (v *vandals) stop() {
	if v.done != nil {
		close(v.done)
		v.wg.Wait()
		v.done = nil
	}
}

// once is one misdeed.
func (v *vandals) once(chance *rand.Rand) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 99, 0, byte(1+chance.IntN(250)))}, Timeout: time.Second}
	conn, err := dialer.Dial("tcp", v.addr)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	write := func(text string) { _, _ = conn.Write([]byte(text)) }
	garbage := make([]byte, chance.IntN(2000))
	for i := range garbage {
		garbage[i] = byte(chance.Uint32())
	}
	switch chance.IntN(8) {
	case 0: // nothing
	case 1: // a reset
		write(upgradeRequest[:chance.IntN(len(upgradeRequest))])
		_ = conn.(*net.TCPConn).SetLinger(0)
	case 2: // garbage at once
		write(string(garbage))
	case 3: // garbage for frames
		write(upgradeRequest + string(garbage))
	case 4: // no JSON
		write(upgradeRequest + frame(0x81, strings.Repeat("[", chance.IntN(60000))))
	case 5: // an unknown key
		write(upgradeRequest + frame(0x81, fmt.Sprintf(`{"join":"guess %d"}`, chance.Uint64())))
	case 6: // an Opener that never reads, with a Joining that talks
		key := fmt.Sprint(chance.Uint64())
		write(upgradeRequest + frame(0x81, `{"open":"`+key+`"}`))
		if other, err := dialer.Dial("tcp", v.addr); err == nil {
			defer other.Close()
			_ = other.SetDeadline(time.Now().Add(2 * time.Second))
			_, _ = other.Write([]byte(upgradeRequest + frame(0x81, `{"join":"`+key+`"}`)))
			time.Sleep(20 * time.Millisecond)
			for range 100 {
				_, _ = other.Write([]byte(frame(0x81, `{"data":"`+strings.Repeat("x", 20000)+`"}`)))
			}
		}
	case 7: // a stream that is abandoned
		write("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Duration(chance.IntN(300)) * time.Millisecond))
	for b := make([]byte, 4096); chance.IntN(10) > 0; {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// frame is a client's, with a mask of zeros (RFC 6455 §5.2).
func frame(first byte, text string) string {
	header := []byte{first, 0x80 | byte(len(text))}
	if len(text) > 125 {
		header = []byte{first, 0x80 | 126, byte(len(text) >> 8), byte(len(text))}
	}
	return string(header) + "\x00\x00\x00\x00" + text
}
