//go:build !race

package protocol_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

func TestParseDoesNotAllocate(t *testing.T) {
	tests := []struct {
		name string
		text string
		ok   bool
	}{
		{"open", `{"open":"some key","token":"secret"}`, true},
		{"join", `{"join":"some key"}`, true},
		{"join with data", `{"join":"some key","data":{"a":[1,2,3]}}`, true},
		{"to opener", `{"data":` + candidate + `}`, true},
		{"to joining", `{"id":2147483647,"data":` + candidate + `}`, true},
		{"to joining, id as a string", `{"id":"7","data":` + candidate + `}`, true},
		{"SDP", `{"id":7,"data":` + sdp + `}`, true},
		{"not JSON", `{"data":NaN}`, false},
		{"not an object", `[]`, false},
		{"nothing known", `{"x":1}`, false},
		{"twice", `{"data":1,"data":2}`, false},
		{"key is no string", `{"open":1}`, false},
		{"bad id", `{"id":0,"data":1}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p protocol.Parser
			var m protocol.Message
			text := []byte(tt.text)
			require.Equal(t, tt.ok, p.Parse(text, &m) == nil)
			// The average, rounded down: a Parser starts anew once in 256 KiB.
			require.Zero(t, testing.AllocsPerRun(200, func() { _ = p.Parse(text, &m) }))
		})
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 4096)
	data := []byte(candidate)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_ = protocol.AppendKeyAnswer(dst, true)
		_ = protocol.AppendData(dst, data)
		_ = protocol.AppendDataFrom(dst, 7, data)
		_ = protocol.AppendUnavailable(dst, 7)
		_ = protocol.AppendReason(dst, protocol.KeyExists, "the key is taken")
	}))
}
