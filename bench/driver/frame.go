//go:build linux

package driver

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Opcodes of RFC 6455 §5.2 that this client meets.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa
)

const (
	finBit  = 0x80
	maskBit = 0x80
)

// headRoom is the longest header that a client's frame has here: two bytes, two
// of length and four of mask. It limits a frame to maxPayload.
const (
	headRoom   = 8
	maxPayload = 65535
)

// beginFrame makes room for a header at the end of out. The payload is appended
// behind it, and endFrame completes the frame.
func beginFrame(out []byte) []byte {
	return append(out, make([]byte, headRoom)...)
}

// endFrame writes the header and masks the payload of the frame that began at
// offset start of out.
func endFrame(out []byte, start int, opcode byte, mask [4]byte) []byte {
	n := len(out) - start - headRoom
	head := out[start:]
	head[0] = finBit | opcode
	switch {
	case n <= 125:
		head[1] = maskBit | byte(n)
		copy(head[2:], mask[:])
		copy(head[6:], head[headRoom:])
		out = out[:len(out)-2]
		ws.Cipher(out[start+6:], mask, 0)
	default:
		head[1] = maskBit | 126
		binary.BigEndian.PutUint16(head[2:], uint16(n))
		copy(head[4:], mask[:])
		ws.Cipher(out[start+headRoom:], mask, 0)
	}
	return out
}

// frame is one of the server's.
type frame struct {
	opcode  byte
	payload []byte // aliases what was read
}

// takeFrame returns the first frame of b and the bytes that it covers: 0 if more
// must arrive, -1 if this is no frame that a server may send to this client.
// Fragments are none: no server of this protocol has a reason to send them.
func takeFrame(b []byte) (frame, int) {
	if len(b) < 2 {
		return frame{}, 0
	}
	if b[0]&0xf0 != finBit || b[1]&maskBit != 0 {
		return frame{}, -1
	}
	head, n := 2, uint64(b[1])
	switch n {
	case 126:
		if head = 4; len(b) < head {
			return frame{}, 0
		}
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if head = 10; len(b) < head {
			return frame{}, 0
		}
		n = binary.BigEndian.Uint64(b[2:])
	}
	if n > 1<<24 {
		return frame{}, -1
	}
	end := head + int(n)
	if len(b) < end {
		return frame{}, 0
	}
	return frame{opcode: b[0] & 0xf, payload: b[head:end]}, end
}
