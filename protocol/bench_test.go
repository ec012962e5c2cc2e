package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"sigver/protocol"
)

const candidate = `{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx",` +
	`"sdpMid":"0","sdpMLineIndex":0}`

// sdp is an offer of 2 KB, with the escaped line ends that make up its JSON.
var sdp = `{"type":"offer","sdp":"v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n` +
	strings.Repeat(`a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n`, 28) + `"}`

var benchMessages = []struct {
	name string
	text string
}{
	{"open", `{"open":"0123456789abcdef"}`},
	{"candidate", `{"id":1804289383,"data":` + candidate + `}`},
	{"sdp", `{"id":1804289383,"data":` + sdp + `}`},
}

func BenchmarkParse(b *testing.B) {
	for _, msg := range benchMessages {
		b.Run(msg.name, func(b *testing.B) {
			var p protocol.Parser
			var m protocol.Message
			text := []byte(msg.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Parse(text, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGate compares the two validators that could stand before fastjson.
func BenchmarkGate(b *testing.B) {
	gates := []struct {
		name  string
		valid func([]byte) bool
	}{
		{"gjson", gjson.ValidBytes},
		{"encoding-json", json.Valid},
	}
	for _, gate := range gates {
		for _, msg := range benchMessages {
			b.Run(gate.name+"/"+msg.name, func(b *testing.B) {
				text := []byte(msg.text)
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if !gate.valid(text) {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}

func BenchmarkAppendDataFrom(b *testing.B) {
	data := []byte(candidate)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = protocol.AppendDataFrom(dst[:0], 1804289383, data)
	}
}
