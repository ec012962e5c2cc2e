//go:build linux

package driver

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDataHasTheSizeItShallHave(t *testing.T) {
	for _, size := range []int{50, 200, 1000, 60_000} {
		for _, f := range plainFillers(size) {
			data := appendData(nil, 1, toOpener, 2, &f)
			require.Len(t, data, size)
			require.True(t, json.Valid(data))
		}
	}
	for _, c := range []struct {
		filler filler
		size   int
	}{
		{description("offer"), descriptionSize},
		{candidate(), candidateSize},
	} {
		data := appendData(nil, 1, toJoining, 2, &c.filler)
		require.Len(t, data, c.size)
		require.True(t, json.Valid(data), "%s", data)
	}
}

// A changed byte is found wherever it is.
func TestDataIsCheckedToTheByte(t *testing.T) {
	f := candidate()
	data := appendData(nil, 0x01abcdef, toJoining, 0xfedcba98, &f)
	got, ok := readData(data)
	require.True(t, ok)
	require.Equal(t, tag{0x01abcdef, toJoining, 0xfedcba98}, got)
	for i := range data {
		data[i] ^= 1
		_, ok := readData(data)
		require.False(t, ok, "byte %d", i)
		data[i] ^= 1
		_, ok = readData(data[:i])
		require.False(t, ok, "%d bytes", i)
	}
}

func TestLedger(t *testing.T) {
	type arrival struct {
		number uint32
		want   verdict
	}
	cases := []struct {
		name     string
		arrivals []arrival
		complete bool
	}{
		{
			name:     "in order",
			arrivals: []arrival{{0, inOrder}, {1, inOrder}, {2, inOrder}},
			complete: true,
		},
		{
			name:     "one is lost",
			arrivals: []arrival{{0, inOrder}, {2, inOrder}},
		},
		{
			name:     "two have changed places",
			arrivals: []arrival{{1, inOrder}, {0, late}, {2, inOrder}},
			complete: true,
		},
		{
			name:     "one comes again at once",
			arrivals: []arrival{{0, inOrder}, {0, again}, {1, inOrder}, {2, inOrder}},
			complete: true,
		},
		{
			name:     "a late one comes again",
			arrivals: []arrival{{2, inOrder}, {0, late}, {0, again}, {1, late}, {1, again}, {2, again}},
			complete: true,
		},
		{
			name:     "one that nobody sent",
			arrivals: []arrival{{3, unsent}, {1 << 31, unsent}},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var l ledger
			for range 3 {
				l.send(0)
			}
			for _, a := range c.arrivals {
				require.Equal(t, a.want, l.arrived(a.number), "message %d", a.number)
			}
			require.Equal(t, c.complete, l.complete(3))
		})
	}
}
