package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"sigver/admission"
)

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

// serving runs a server until stop, which is called with the test if not before.
func serving(t *testing.T, loops int) (s *Server, stop func()) {
	t.Helper()
	s, err := New(Config{
		Host: "127.0.0.1", Loops: loops, FileLimit: 2000, MaxMessage: 64 << 10, MaxBuffer: 1 << 20,
		HandshakeTimeout: time.Minute, IdleTimeout: time.Minute, Log: slog.New(slog.DiscardHandler),
		PerAddress: admission.Limits{Connections: 1000},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return s, stop
}

// talk is a client that says something and hears the answer.
type talk struct {
	t *testing.T
	*websocket.Conn
}

func enter(t *testing.T, s *Server) talk {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), s.URL(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.CloseNow() })
	return talk{t, c}
}

func (c talk) say(text string) {
	require.NoError(c.t, c.Write(c.t.Context(), websocket.MessageText, []byte(text)))
}

func (c talk) hear() string {
	_, text, err := c.Read(c.t.Context())
	require.NoError(c.t, err)
	return string(text)
}

// relays are those of each loop so far.
func relays(s *Server) []uint64 {
	all := make([]uint64, len(s.workers))
	for i, w := range s.workers {
		done := make(chan struct{})
		w.loop.Post(func() { all[i] = w.relays; close(done) })
		<-done
	}
	return all
}

func TestAPairIsOnOneLoop(t *testing.T) {
	s, stop := serving(t, 4)
	var clients []talk
	before := relays(s)
	for i := range 20 {
		opener, joining := enter(t, s), enter(t, s)
		clients = append(clients, opener, joining)
		opener.say(fmt.Sprintf(`{"open":"%d"}`, i))
		require.Equal(t, `{"isKeyOk":true}`, opener.hear())
		joining.say(fmt.Sprintf(`{"join":"%d","data":"to the Opener"}`, i))
		require.Equal(t, `{"isKeyOk":true}`, joining.hear())
		var id int
		_, err := fmt.Sscanf(opener.hear(), `{"id":%d,`, &id)
		require.NoError(t, err)
		opener.say(fmt.Sprintf(`{"id":%d,"data":"to the Joining"}`, id))
		require.Equal(t, `{"data":"to the Joining"}`, joining.hear())

		after := relays(s)
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
	require.Zero(t, s.admitted.Load())
	for _, w := range s.workers {
		require.Empty(t, w.entered)
	}
}

func TestACrowdIsOnAllLoops(t *testing.T) {
	s, _ := serving(t, 2)
	opener := enter(t, s)
	opener.say(`{"open":"k"}`)
	opener.hear()
	for range 5 * neighbours {
		joining := enter(t, s)
		joining.say(`{"join":"k"}`)
		require.Equal(t, `{"isKeyOk":true}`, joining.hear())
		joining.say(`{"data":1}`)
		opener.hear()
	}
	for _, n := range relays(s) {
		require.Greater(t, n, uint64(neighbours), "of the others half should be on each loop")
	}
}

// Whoever is between two loops when the server stops is closed too.
func TestTheEndDuringAMove(t *testing.T) {
	_, stop := serving(t, 2)
	stop() // what the runtime opens once is open now
	files := openFiles(t)
	for i := range 40 {
		s, stop := serving(t, 2)
		opener := enter(t, s)
		opener.say(`{"open":"k"}`)
		opener.hear()
		const request = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		const join = "\x81\x8c\x00\x00\x00\x00" + `{"join":"k"}`
		var joinings []net.Conn
		for range neighbours {
			c, err := net.Dial("tcp", s.Addr().String())
			require.NoError(t, err)
			_, err = io.WriteString(c, request)
			require.NoError(t, err)
			_, err = io.ReadFull(c, make([]byte, 129))
			require.NoError(t, err)
			joinings = append(joinings, c)
		}
		for _, c := range joinings {
			_, err := io.WriteString(c, join)
			require.NoError(t, err)
		}
		time.Sleep(time.Duration(i) * 5 * time.Microsecond)
		s.loopDied(io.EOF) // the end that waits for nobody
		stop()
		require.Zero(t, s.Connections())
		for _, c := range joinings {
			require.NoError(t, c.Close())
		}
		require.NoError(t, opener.CloseNow())
	}
	require.LessOrEqual(t, openFiles(t), files)
}
