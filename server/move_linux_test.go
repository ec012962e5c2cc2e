package server_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"sigver/server"
)

func TestAPairIsOnOneLoop(t *testing.T) {
	c := config(t)
	c.Loops = 4
	c.PerAddress.Connections = 1000
	s, err := server.New(c)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var clients []*websocket.Conn
	before := s.Relays()
	for i := range 20 {
		opener, joining := dial(t, s), dial(t, s)
		clients = append(clients, opener, joining)
		say(t, opener, fmt.Sprintf(`{"open":"%d"}`, i))
		require.Equal(t, `{"isKeyOk":true}`, hear(t, opener))
		say(t, joining, fmt.Sprintf(`{"join":"%d","data":"to the Opener"}`, i))
		require.Equal(t, `{"isKeyOk":true}`, hear(t, joining))
		var id int
		_, err := fmt.Sscanf(hear(t, opener), `{"id":%d,`, &id)
		require.NoError(t, err)
		say(t, opener, fmt.Sprintf(`{"id":%d,"data":"to the Joining"}`, id))
		require.Equal(t, `{"data":"to the Joining"}`, hear(t, joining))

		after := s.Relays()
		loops := 0
		for i := range after {
			if after[i] > before[i] {
				loops++
			}
		}
		require.Equal(t, 1, loops, "with clients of pair %d", i)
		before = after
	}
	require.Equal(t, 40, s.Connections())
	for _, c := range clients {
		require.NoError(t, c.CloseNow())
	}
	require.Eventually(t, func() bool { return s.Connections() == 0 }, time.Minute, time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	admitted, entered := s.Counted()
	require.Zero(t, admitted)
	require.Zero(t, entered)
}

func TestACrowdIsOnAllLoops(t *testing.T) {
	s := start(t, config(t))
	opener := dial(t, s)
	say(t, opener, `{"open":"k"}`)
	hear(t, opener)
	for range 5 * server.Neighbours {
		joining := dial(t, s)
		say(t, joining, `{"join":"k"}`)
		require.Equal(t, `{"isKeyOk":true}`, hear(t, joining))
		say(t, joining, `{"data":1}`)
		hear(t, opener)
	}
	for _, n := range s.Relays() {
		require.Greater(t, n, uint64(server.Neighbours), "of the others half should be on each loop")
	}
}

// Whoever is between two loops when the server stops is closed too.
func TestTheEndDuringAMove(t *testing.T) {
	serving := func() (s *server.Server, die func()) {
		s, err := server.New(config(t))
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- s.Run(t.Context()) }()
		return s, func() {
			s.Die(io.EOF)
			require.ErrorIs(t, <-ended, io.EOF)
		}
	}
	_, die := serving()
	die() // what the runtime opens once is open now
	files := openFiles(t)
	for i := range 40 {
		s, die := serving()
		opener := dialWire(t, s)
		opener.do(`{"open":"k"}`)
		var joinings []*wire
		for range server.Neighbours {
			joinings = append(joinings, dialWire(t, s))
		}
		for _, joining := range joinings {
			joining.write(frame(`{"join":"k"}`))
		}
		time.Sleep(time.Duration(i) * 5 * time.Microsecond)
		die()
		require.Zero(t, s.Connections())
		files += 1 + server.Neighbours // the clients keep their ends
	}
	require.LessOrEqual(t, openFiles(t), files)
}
