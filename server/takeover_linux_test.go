package server_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/server"
)

// dialFrom connects from ip.
func dialFrom(t *testing.T, s *server.Server, ip string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: patience}
	c, err := dialer.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// A server that stops takes in everybody who waits at its door, however many of them
// it turns away for their address.
func TestNobodyIsLeftAtTheDoor(t *testing.T) {
	c := config(t)
	c.Loops = 1
	c.Drain = time.Second
	c.PerAddress.Rate = 1
	s, err := server.New(c)
	require.NoError(t, err)
	for range 1000 { // of whom ten are let in
		dialFrom(t, s, "127.0.0.2")
	}
	last := dialFrom(t, s, "127.0.0.3")
	_, err = io.WriteString(last, upgradeRequest)
	require.NoError(t, err)

	stopped, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, s.Run(stopped))
	resp, err := http.ReadResponse(bufio.NewReader(last), nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
}
