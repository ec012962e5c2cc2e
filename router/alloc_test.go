//go:build !race

package router_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

func TestRelayAllocatesNothing(t *testing.T) {
	r := router.New(1, 0)
	opener, joining, id := newPair(t, r)
	tests := []struct {
		name string
		from *router.Session
		m    *protocol.Message
	}{
		{"to the Opener", joining, &protocol.Message{Kind: protocol.ToOpener, Data: []byte(`{"n":1}`)}},
		{"to the Joining", opener, &protocol.Message{Kind: protocol.ToJoining, ID: id, Data: []byte(`{"n":1}`)}},
		{"to nobody", opener, &protocol.Message{Kind: protocol.ToJoining, ID: id ^ 1, Data: []byte(`{"n":1}`)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			scratch := make([]byte, 0, 256)
			allocs := testing.AllocsPerRun(1000, func() {
				scratch, _ = r.Handle(test.from, test.m, scratch)
			})
			require.Zero(t, allocs)
		})
	}
}

// TestRefusalsAllocateNothing is for those who knock on many doors.
func TestRefusalsAllocateNothing(t *testing.T) {
	r := router.New(1, 0)
	newPair(t, r)
	tests := []struct {
		name string
		m    *protocol.Message
	}{
		{"join of an unknown key", &protocol.Message{Kind: protocol.Join, Key: []byte("unknown")}},
		{"open of a taken key", &protocol.Message{Kind: protocol.Open, Key: []byte("key")}},
		{"data before join", &protocol.Message{Kind: protocol.ToOpener, Data: []byte(`1`)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := new(router.Session)
			r.Attach(s, sink{})
			scratch := make([]byte, 0, 256)
			allocs := testing.AllocsPerRun(1000, func() {
				scratch, _ = r.Handle(s, test.m, scratch)
			})
			require.Zero(t, allocs)
		})
	}
}
