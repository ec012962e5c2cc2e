package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/server"
)

// journal is a log to be read. Any goroutine.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// postSlowly begins a message of 60 KiB and sends 40 of them.
func postSlowly(t *testing.T, s *server.Server) net.Conn {
	t.Helper()
	c := crowd(t, s, 1)[0]
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", 60<<10, strings.Repeat("x", 40<<10))
	require.NoError(t, err)
	return c
}

func status(t *testing.T, c net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Messages that are on their way when memory becomes short are not waited for as long
// as usual, which is longer than the patience of this test; nor do they grow.
func TestSlowPostsWhileMemoryIsShort(t *testing.T) {
	s := start(t, config(t))
	var slow []net.Conn
	for range 30 { // more than a MiB
		slow = append(slow, postSlowly(t, s))
	}
	require.Eventually(t, func() bool { return s.Present().Visitors == len(slow) }, patience, time.Millisecond)
	s.Tight("this test", false)
	_, err := io.WriteString(slow[0], strings.Repeat("x", 1<<10))
	require.NoError(t, err)
	for _, c := range slow {
		require.Equal(t, http.StatusServiceUnavailable, status(t, c))
	}
	late := postSlowly(t, s)
	require.Equal(t, http.StatusServiceUnavailable, status(t, late), "it has begun while memory was short")
	require.Eventually(t, func() bool { return s.Present().Visitors == 0 }, patience, time.Millisecond)
	quick := crowd(t, s, 1)[0]
	_, err = io.WriteString(quick, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nquick")
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, status(t, quick), "it is dealt with: there is no token in it")

	s.Tight("", false)
	slow = slow[:0]
	for range 30 {
		slow = append(slow, postSlowly(t, s))
	}
	for _, c := range slow {
		_, err := io.WriteString(c, strings.Repeat("x", 20<<10))
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, status(t, c), "there is memory for all of it, only no token")
	}
}

// The places that are left for refusing are not for those who say nothing.
func TestSilentSocketsDoNotKeepOthersOut(t *testing.T) {
	c := config(t)
	c.MaxConnections = 4
	c.HandshakeTimeout = time.Hour
	var log journal
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	s := start(t, c)
	crowd(t, s, 100)
	require.Eventually(t, func() bool { return s.Readiness().Full }, patience, time.Millisecond, "though nobody is admitted")
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "no room for a new client") }, patience, time.Millisecond)
	say(t, dial(t, s), `{"open":"key"}`)
	require.Eventually(t, func() bool { return !s.Readiness().Full }, patience, time.Millisecond)
}

// While memory is short, sockets of which nobody knows what they want are few: they
// take the kernel's.
func TestSilentSocketsWhileMemoryIsShort(t *testing.T) {
	s := start(t, config(t))
	s.Tight("this test", false)
	crowd(t, s, 1200)
	require.Never(t, func() bool { return s.Connections() > 1024+1 }, time.Second, 10*time.Millisecond, "one for each loop")
	require.GreaterOrEqual(t, s.Connections(), 1024)
	s.Tight("", false)
	require.Eventually(t, func() bool { return s.Connections() == 1200 }, patience, time.Millisecond)
}
