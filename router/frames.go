package router

import (
	"encoding/binary"
	"errors"

	"sigver/protocol"
)

// Nodes tell each other what happens at their ends of a pair in frames. A frame
// is, in big-endian order:
//
//	length of all that follows  4 bytes
//	kind                        1
//	to                          4 slot, 4 generation, at the receiving node
//	from                        4 slot, 4 generation, at the sending node
//	number                      4
//	payload                     the rest
//
// The frames of both kinds of data have numbers that grow by one from frame to
// frame of one direction of a pair: who sees a gap ends the pair, since half of
// a handshake is worse than none.
type frameKind uint8

const (
	frameJoin    frameKind = 1 + iota // from a Joining to a key's record; payload: 1 and data, or nothing
	frameJoined                       // it is one now; from is what stands for it there
	frameRefused                      // it is not; payload: close code
	frameData                         // data to the Opener, or a message to the Joining
	frameLeft                         // the Joining has left
	frameClose                        // the Joining is to be closed; payload: close code and detail
	frameBroken                       // the pair is no more, whoever is told
	frameCheck                        // number is that of the last data; payload: 1 if the same is asked for
	frameLost                         // a record has lost its key; payload: close code
	frameAsk                          // of Ask: to nothing in particular
	frameAnswer                       // to that
	frameDoubt                        // asks whether what is named is there
)

const frameHead = 4 + 1 + 4*5

// LostRefAt is where the slot and the generation of the reference to what has lost
// its key have to be filled in in LostFrame, in bytes from its beginning.
const LostRefAt = 4 + 1

// LostFrame is what a node is sent that has lost a key to another, with the key's
// own token or without.
func LostFrame(byToken bool) []byte {
	why := protocol.KeyExists
	if byToken {
		why = protocol.KeyTakenOver
	}
	f := frame{kind: frameLost, payload: code(why)}
	return f.append(nil)
}

type frame struct {
	kind              frameKind
	toSlot, toGen     uint32
	fromSlot, fromGen uint32
	number            uint32
	payload           []byte
}

var errFrame = errors.New("router: not a frame")

func (f *frame) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(frameHead-4+len(f.payload)))
	b = append(b, byte(f.kind))
	for _, n := range [...]uint32{f.toSlot, f.toGen, f.fromSlot, f.fromGen, f.number} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return append(b, f.payload...)
}

// cutFrame reads the first frame of b and returns what follows it. The payload is
// part of b.
func cutFrame(b []byte) (f frame, rest []byte, err error) {
	if len(b) < frameHead {
		return f, nil, errFrame
	}
	n := int(binary.BigEndian.Uint32(b))
	if n < frameHead-4 || n > len(b)-4 {
		return f, nil, errFrame
	}
	f.kind = frameKind(b[4])
	f.toSlot, f.toGen = binary.BigEndian.Uint32(b[5:]), binary.BigEndian.Uint32(b[9:])
	f.fromSlot, f.fromGen = binary.BigEndian.Uint32(b[13:]), binary.BigEndian.Uint32(b[17:])
	f.number = binary.BigEndian.Uint32(b[21:])
	f.payload = b[frameHead : 4+n]
	return f, b[4+n:], nil
}

func (f *frame) to(node uint64) Ref   { return Ref{node, f.toSlot, f.toGen} }
func (f *frame) from(node uint64) Ref { return Ref{node, f.fromSlot, f.fromGen} }
