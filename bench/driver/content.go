//go:build linux

package driver

import (
	"hash/crc32"
	"math/rand/v2"
	"strings"
)

// The data of every message is a JSON object that begins with a tag:
//
//	{"tag":"ppppppppDssssssssccccccccc…
//
// the pair's number, the direction, the sequence number and a checksum of these
// and of everything behind the tag, numbers as eight hexadecimal digits.
const (
	tagOpens  = `{"tag":"`
	tagSigned = 8 + 1 + 8     // pair, direction, number: what the checksum covers
	tagLength = tagSigned + 8 // and the checksum
	tagEnds   = len(tagOpens) + tagLength
)

// direction is where a message goes.
type direction byte

const (
	toOpener  direction = 'o'
	toJoining direction = 'j'
)

func (w direction) String() string {
	if w == toOpener {
		return "to the Opener"
	}
	return "to the Joining"
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// filler is what stands behind the tag, and its checksum.
type filler struct {
	text string
	sum  uint32
}

func newFiller(text string) filler {
	return filler{text, crc32.Checksum([]byte(text), castagnoli)}
}

// appendData appends the data of a message.
func appendData(out []byte, pair uint32, way direction, number uint32, f *filler) []byte {
	out = append(out, tagOpens...)
	signed := len(out)
	out = appendHex(out, pair)
	out = append(out, byte(way))
	out = appendHex(out, number)
	out = appendHex(out, crc32.Update(f.sum, castagnoli, out[signed:]))
	return append(out, f.text...)
}

// tag is what a message says of itself.
type tag struct {
	pair   uint32
	way    direction
	number uint32
}

// readData returns the tag of data, or false if data is not as it was sent.
func readData(data []byte) (tag, bool) {
	if len(data) < tagEnds || string(data[:len(tagOpens)]) != tagOpens {
		return tag{}, false
	}
	signed := data[len(tagOpens) : len(tagOpens)+tagSigned]
	pair, ok1 := readHex(signed)
	number, ok2 := readHex(signed[9:])
	sum, ok3 := readHex(data[len(tagOpens)+tagSigned:])
	t := tag{pair, direction(signed[8]), number}
	rest := crc32.Checksum(data[tagEnds:], castagnoli)
	return t, ok1 && ok2 && ok3 && sum == crc32.Update(rest, castagnoli, signed)
}

const hexDigits = "0123456789abcdef"

func appendHex(out []byte, v uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		out = append(out, hexDigits[v>>shift&15])
	}
	return out
}

func readHex(p []byte) (v uint32, ok bool) {
	for _, c := range p[:8] {
		switch {
		case '0' <= c && c <= '9':
			v = v<<4 | uint32(c-'0')
		case 'a' <= c && c <= 'f':
			v = v<<4 | uint32(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// plainFillers returns fillers that make data of size bytes: a few different
// ones, so that two messages do not look alike.
func plainFillers(size int) []filler {
	const before, after = `","pad":"`, `"}`
	fillers := make([]filler, 8)
	for i := range fillers {
		n := max(0, size-tagEnds-len(before)-len(after))
		fillers[i] = newFiller(before + letters(n) + after)
	}
	return fillers
}

// letters returns n letters that JSON writes as they are.
func letters(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"[rand.IntN(64)])
	}
	return b.String()
}

// Sizes of what a session exchanges.
const (
	descriptionSize = 2048
	candidateSize   = 120
	candidates      = 5
)

// description returns a filler for an offer or an answer: a session description
// with line ends as JSON writes them.
func description(kind string) filler {
	var b strings.Builder
	b.WriteString(`","type":"` + kind + `","sdp":"v=0\r\n`)
	const end = `\r\n"}`
	for {
		room := descriptionSize - tagEnds - b.Len() - len(end)
		line := `a=ssrc:` + letters(40) + ` cname:` + letters(12) + `\r\n`
		if room < len(line)+2 {
			b.WriteString("a=" + letters(room-2) + end)
			return newFiller(b.String())
		}
		b.WriteString(line)
	}
}

// candidate returns a filler for an ICE candidate.
func candidate() filler {
	const before, after = `","candidate":"candidate:1 1 udp `, `","sdpMid":"0"}`
	return newFiller(before + letters(candidateSize-tagEnds-len(before)-len(after)) + after)
}
