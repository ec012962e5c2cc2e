package protocol_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

// heap returns the bytes of live objects.
func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

func TestParserGivesMemoryBack(t *testing.T) {
	array := func(n int) string { return "[" + strings.Repeat("0,", n) + "0]" }
	tests := []struct {
		name string
		send func(parse func(text string))
		most uint64
	}{
		{
			name: "after a large message",
			send: func(parse func(string)) { parse(`{"data":` + array(32_000) + `}`) },
			most: 100 << 10,
		},
		{
			name: "after many messages, each with its array at another place",
			send: func(parse func(string)) {
				for i := 0; i < 2000; i += 2 {
					head := strings.Repeat("0,", i)
					parse(`{"data":[` + head + array(2000-i) + `]}`)
				}
			},
			most: 3 << 20, // 8 MB if nothing were given back
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p protocol.Parser
			var m protocol.Message
			before := heap()
			tt.send(func(text string) { require.NoError(t, p.Parse([]byte(text), &m)) })
			m = protocol.Message{}
			require.Less(t, int64(heap())-int64(before), int64(tt.most))
			runtime.KeepAlive(&p)
		})
	}
}

// A refused message must cost about what an accepted one costs: fastjson alone
// would take 300 MB to refuse this one.
func TestRefusalIsCheap(t *testing.T) {
	text := []byte(strings.Repeat("[", 299) + "t" + strings.Repeat("\x01", 64<<10))
	var p protocol.Parser
	var m protocol.Message
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.Error(t, p.Parse(text, &m))
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10))
}
