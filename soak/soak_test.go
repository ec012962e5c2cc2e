package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/soak/cable"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(driverEnv); url != "" {
		os.Exit(drive(url))
	}
	os.Exit(buildAndRun(m))
}

// program is the path of the server.
var program string

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sigver-soak")
	if err == nil {
		defer os.RemoveAll(dir)
		program, err = build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// someSeconds are long enough for three rounds and a fault.
var someSeconds = options{
	minutes:  0.1,
	drivers:  2,
	pairs:    10,
	seed:     1,
	round:    2 * time.Second,
	settle:   15 * time.Second,
	patience: 10 * time.Second,
	hold:     3 * time.Second,
}

func brief(t *testing.T, s *server, o options) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return soak(ctx, &o, s)
}

func begin(t *testing.T) *server {
	t.Helper()
	s, err := startServer(program, 15*time.Second)
	require.NoError(t, err)
	t.Cleanup(s.kill)
	return s
}

func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	t.Parallel()
	require.NoError(t, brief(t, begin(t), someSeconds))
}

func TestAChangedMessageIsFound(t *testing.T) {
	t.Parallel()
	s := begin(t)
	var seen atomic.Int64
	s.url = "ws://" + between(t, s.addr, func(b []byte) {
		if i := bytes.Index(b, []byte("xxxxxxxx")); i >= 0 && seen.Add(1)%100 == 0 {
			b[i] = 'y'
		}
	})
	require.ErrorContains(t, brief(t, s, someSeconds), " got ")
}

func TestAKeyOfNobodyIsFound(t *testing.T) {
	t.Parallel()
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
	o := someSeconds
	o.settle = 5 * time.Second
	require.ErrorContains(t, brief(t, s, o), "the drivers have")
}

// A pair of which the server has lost one, since its driver was stopped, takes the
// other one away before anybody counts.
func TestHalfAPairParts(t *testing.T) {
	t.Parallel()
	s := begin(t)
	c := &crew{url: s.url, patience: 10 * time.Second, paused: true}
	c.changed = sync.NewCond(&c.mu)
	chance := rand.New(rand.NewPCG(1, 1))
	opener, err := connect(s.url, c.patience, chance)
	require.NoError(t, err)
	defer opener.drop()
	require.NoError(t, opener.bind(map[string]any{"open": "half a pair"}))
	_, err = s.settle(view{Keys: 1}, c.patience)
	require.NoError(t, err)

	rested := make(chan error)
	lost := errors.New("lost")
	go func() { rested <- c.rest(func() error { return lost }, opener.drop) }()
	v := c.obey(order{Pause: true}, 1)
	require.Equal(t, view{}, v)
	_, err = s.settle(v, c.patience)
	require.NoError(t, err)
	_ = c.obey(order{}, 1)
	require.Equal(t, lost, <-rested)
}

func TestADeadServerIsFound(t *testing.T) {
	t.Parallel()
	s := begin(t)
	time.AfterFunc(2*time.Second, func() { _ = s.cmd.Process.Kill() })
	require.Error(t, brief(t, s, someSeconds))
}

func TestAServerThatHangsIsFound(t *testing.T) {
	t.Parallel()
	s := begin(t)
	time.AfterFunc(2*time.Second, func() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) })
	o := someSeconds
	o.patience = 3 * time.Second
	require.ErrorContains(t, brief(t, s, o), "faults")
}

// Whoever only accepts is not waited for for ever.
func TestEveryAnswerHasATime(t *testing.T) {
	t.Parallel()
	door, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer door.Close()
	const patience = 200 * time.Millisecond
	begun := time.Now()
	for seed := range uint64(10) { // of which some are streams
		_, err = connect("ws://"+door.Addr().String(), patience, rand.New(rand.NewPCG(seed, 0)))
		require.Error(t, err)
	}
	s := &server{admin: "http://" + door.Addr().String()}
	_, err = s.settle(view{}, patience)
	require.ErrorContains(t, err, "does not answer")
	_, err = startServer(mute(t), patience)
	require.ErrorContains(t, err, "did not start within 200ms")
	require.Less(t, time.Since(begun), 20*time.Second)
}

// away starts a fleet of one whose server is not there: its pair never rests.
func away(t *testing.T, patience time.Duration) *fleet {
	t.Helper()
	f := &fleet{url: "ws://127.0.0.1:1", pairs: 1, patience: patience, hold: time.Second}
	t.Cleanup(f.kill)
	return f
}

func TestADriverThatHangsIsNamedAndKilled(t *testing.T) {
	t.Parallel()
	f := away(t, 500*time.Millisecond)
	require.NoError(t, f.add())
	d := f.all[0]
	require.NoError(t, d.cmd.Process.Signal(syscall.SIGSTOP))
	_, err := f.pause()
	require.ErrorContains(t, err, fmt.Sprintf("driver %d did not answer within 2s and was killed", d.cmd.Process.Pid))
	require.Error(t, d.cmd.Wait(), "killed")
}

func TestPairsThatDoNotRestAreTold(t *testing.T) {
	t.Parallel()
	c := &crew{patience: 100 * time.Millisecond}
	c.changed = sync.NewCond(&c.mu)
	require.Equal(t, []string{"2 of 2 pairs do not rest after 300ms"}, c.obey(order{Pause: true}, 2).Faults)
}

// Each cable that was lost has another in its place; none is left behind. This needs
// root.
func TestNoCableIsLeftBehind(t *testing.T) {
	t.Parallel()
	f := away(t, 10*time.Second)
	var laid []*cable.Cable
	require.NoError(t, f.lay())
	laid = append(laid, f.cable)
	require.NoError(t, f.add())
	for range 2 {
		require.NoError(t, f.lose())
		laid = append(laid, f.cable)
	}
	f.kill()
	addresses, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, c := range laid {
		require.NoFileExists(t, "/run/netns/"+c.Namespace)
		require.NotContains(t, fmt.Sprint(addresses), c.Local+"/")
	}
}

func TestWhatGrowsIsFound(t *testing.T) {
	first := reading{clients: 10, files: 30, goroutines: 10, memory: 20e6}
	require.NoError(t, reading{clients: 100, files: 125, goroutines: 20, memory: 25e6}.flat(first))
	require.NoError(t, reading{clients: 10, visitors: 90, files: 120, goroutines: 105, memory: 20e6}.flat(first))
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

// mute is a program that says nothing and does not end.
func mute(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mute")
	require.NoError(t, os.WriteFile(file, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700))
	return file
}
