//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"sigver/bench/proc"
)

// engine is a Redis server that keeps nothing on disk.
type engine struct {
	*proc.Process
	address string
}

func startEngine(ctx context.Context) (*engine, error) {
	// Below 32768 no connection to elsewhere takes it in the meantime.
	port := strconv.Itoa(10_000 + rand.IntN(10_000))
	address := net.JoinHostPort("127.0.0.1", port)
	p, err := proc.Start(exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""), nil)
	if err != nil {
		return nil, fmt.Errorf("a cluster needs redis-server: %w", err)
	}
	e := &engine{p, address}
	for ctx.Err() == nil {
		if _, err := e.calls(); err == nil {
			return e, nil
		}
		select {
		case <-p.Done():
			return nil, fmt.Errorf("redis-server: %w", p.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	_ = p.Stop()
	return nil, ctx.Err()
}

func (e *engine) url() string { return "redis://" + e.address }

// calls is how often each command was called.
func (e *engine) calls() (map[string]int64, error) {
	text, err := e.info("commandstats")
	if err != nil {
		return nil, err
	}
	calls := make(map[string]int64)
	for line := range strings.Lines(text) {
		// cmdstat_get:calls=21,usec=175,…
		name, figures, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		number, _, _ := strings.Cut(figures, ",")
		if n, err := strconv.ParseInt(number, 10, 64); ok && err == nil {
			calls[name] = n
		}
	}
	return calls, nil
}

// info is a section of INFO.
func (e *engine) info(section string) (string, error) {
	conn, err := net.DialTimeout("tcp", e.address, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "INFO %s\r\n", section); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	head, err := in.ReadString('\n') // $LENGTH
	if err != nil {
		return "", err
	}
	length, err := strconv.Atoi(strings.Trim(head, "$\r\n"))
	if err != nil {
		return "", errors.New("INFO: " + strings.TrimSpace(head))
	}
	text := make([]byte, length)
	_, err = io.ReadFull(in, text)
	return string(text), err
}
