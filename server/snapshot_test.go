package server

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

// A loop that is late counts as it was: what falls would seem to have begun anew.
func TestCountersDoNotFallWhileALoopIsLate(t *testing.T) {
	s, err := New(Config{Host: "127.0.0.1", Loops: 3, FileLimit: 1000, HandshakeTimeout: time.Second, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.onEveryLoop(func(w *worker) {
		w.relays = 10
		w.left(protocol.Idle)
	})
	before := s.Snapshot()
	require.EqualValues(t, 30, before.Relays)
	require.EqualValues(t, 3, before.Closes[protocol.Idle])

	busy := make(chan struct{})
	s.workers[0].loop.Post(func() { <-busy })
	s.workers[2].loop.Post(func() { s.workers[2].relays++ })
	late := s.Snapshot()
	close(busy)
	require.EqualValues(t, 31, late.Relays, "the others have gone on")
	require.EqualValues(t, 3, late.Closes[protocol.Idle])
	cancel()
	require.NoError(t, <-ended)
}
