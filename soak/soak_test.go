package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(driverEnv); url != "" {
		os.Exit(drive(url))
	}
	os.Exit(m.Run())
}

// brief is a soak of some seconds of s, long enough for one fault.
func brief(t *testing.T, s *server) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	return soak(ctx, &options{minutes: 0.1, drivers: 2, pairs: 10, seed: 1, round: 3 * time.Second, settle: 15 * time.Second}, s)
}

func begin(t *testing.T) *server {
	t.Helper()
	s, err := startServer(t.Context())
	require.NoError(t, err)
	t.Cleanup(s.kill)
	return s
}

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	require.NoError(t, brief(t, begin(t)))
}

func TestAChangedMessageIsFound(t *testing.T) {
	s := begin(t)
	var seen atomic.Int64
	s.url = "ws://" + between(t, s.addr, func(b []byte) {
		if i := bytes.Index(b, []byte("xxxxxxxx")); i >= 0 && seen.Add(1)%100 == 0 {
			b[i] = 'y'
		}
	})
	require.ErrorContains(t, brief(t, s), " got ")
}

func TestAKeyOfNobodyIsFound(t *testing.T) {
	s := begin(t)
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(upgradeRequest + frame(0x81, `{"open":"nobody's"}`)))
	require.NoError(t, err)
	// Its pongs keep it alive for longer than settle waits.
	go func() {
		for b := make([]byte, 1000); ; {
			if _, err := conn.Read(b); err != nil {
				return
			}
			if _, err := conn.Write([]byte{0x8a, 0x80, 0, 0, 0, 0}); err != nil {
				return
			}
		}
	}()
	require.ErrorContains(t, brief(t, s), "the drivers have")
}

func TestADeadServerIsFound(t *testing.T) {
	s := begin(t)
	time.AfterFunc(2*time.Second, func() { _ = s.cmd.Process.Kill() })
	require.Error(t, brief(t, s))
}

func TestWhatGrowsIsFound(t *testing.T) {
	first := reading{clients: 10, files: 30, goroutines: 10, memory: 20e6}
	require.NoError(t, reading{clients: 100, files: 125, goroutines: 20, memory: 25e6}.flat(first))
	require.ErrorContains(t, reading{clients: 10, files: 60, goroutines: 10, memory: 20e6}.flat(first), "files grow")
	require.ErrorContains(t, reading{clients: 10, files: 30, goroutines: 70, memory: 20e6}.flat(first), "goroutines grow")
	require.ErrorContains(t, reading{clients: 10, files: 30, goroutines: 10, memory: 60e6}.flat(first), "memory grows")
}

// between is the address of one who passes bytes on to addr, and what comes back
// through change.
func between(t *testing.T, addr string, change func([]byte)) string {
	t.Helper()
	door, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = door.Close() })
	go func() {
		for {
			near, err := door.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer far.Close()
				go func() {
					_, _ = io.Copy(far, near)
					_ = far.Close()
				}()
				for b := make([]byte, 64<<10); ; {
					n, err := far.Read(b)
					if err != nil {
						return
					}
					change(b[:n])
					if _, err := near.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	_, port, err := net.SplitHostPort(door.Addr().String())
	require.NoError(t, err)
	return net.JoinHostPort("127.0.0.1", port)
}
