package server_test

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The goroutine that has answered a request is not the stream's.
func TestStreamsDoNotCostGoroutines(t *testing.T) {
	s := start(t, config(t))
	stream := func(c net.Conn) {
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, len("HTTP/1.1 200 OK\r\n")))
		require.NoError(t, err)
	}
	stream(crowd(t, s, 1)[0]) // so that the server has all that it needs for streams
	runtime.GC()
	goroutines := runtime.NumGoroutine()
	for _, c := range crowd(t, s, 300) {
		stream(c)
	}
	// Eventually has two itself.
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+2 }, patience, time.Millisecond)
	require.EqualValues(t, 301, s.Connections())
}
