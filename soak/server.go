package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// server is the program under test, built from this tree.
type server struct {
	cmd   *exec.Cmd
	url   string // ws://…
	addr  string
	admin string // http://…
}

var found = regexp.MustCompile(`msg="operator's side" address=(\S+)|url=ws://(\S+)`)

// build builds it into dir.
func build(ctx context.Context, dir string) (binary string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	binary = filepath.Join(dir, "sigver")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "sigver")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building sigver: %w", err)
	}
	return binary, nil
}

// startServer starts it, with limits that the clients here do not hit but the
// vandals do.
func startServer(binary string, patience time.Duration) (*server, error) {
	s := new(server)
	s.cmd = exec.Command(binary, "--port", "0", "--admin", "127.0.0.1:0", "--heartbeat", "2s",
		"--handshake-timeout", "3s", "--idle-timeout", "5s", "--rate", "500", "--burst", "1000", "--max-guesses", "60")
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	timer := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(stderr)
	for (s.admin == "" || s.url == "") && lines.Scan() {
		if m := found.FindStringSubmatch(lines.Text()); m != nil && m[1] != "" {
			s.admin = "http://" + m[1]
		} else if m != nil {
			s.addr, s.url = m[2], "ws://"+m[2]
		}
	}
	go func() { _, _ = io.Copy(os.Stderr, stderr) }()
	if s.url == "" {
		s.kill()
		return nil, fmt.Errorf("the server did not start within %s", patience)
	}
	return s, nil
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// reading is what the server says of itself.
type reading struct {
	keys, joinings, clients, others int
	visitors                        int // kept for a minute after a POST, each with a goroutine
	files, goroutines               int
	memory                          float64 // bytes
	unsent                          int
	relays                          float64
}

func (r reading) String() string {
	return fmt.Sprintf("%d clients, %d keys, %d Joinings, %.0f relays, %d visitors, %d files, %d goroutines, %.1f MB",
		r.clients, r.keys, r.joinings, r.relays, r.visitors, r.files, r.goroutines, r.memory/1e6)
}

func (s *server) read(ctx context.Context) (r reading, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+"/metrics", nil)
	if err != nil {
		return r, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		switch name {
		case "sigver_keys":
			r.keys = int(value)
		case "sigver_joinings":
			r.joinings = int(value)
		case `sigver_connections{transport="websocket"}`, `sigver_connections{transport="sse"}`:
			r.clients += int(value)
		case `sigver_connections{transport="http"}`:
			r.visitors = int(value)
		case `sigver_connections{transport="other"}`:
			r.others = int(value)
		case "process_open_fds":
			r.files = int(value)
		case "go_goroutines":
			r.goroutines = int(value)
		case "process_resident_memory_bytes":
			r.memory = value
		case "sigver_unsent_bytes":
			r.unsent = int(value)
		case "sigver_relays_total":
			r.relays = value
		}
	}
	return r, lines.Err()
}

// settle waits until the server has what the drivers have, and nothing else.
func (s *server) settle(v view, within time.Duration) (r reading, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for ; ctx.Err() == nil; wait(ctx, 100*time.Millisecond) {
		now, err := s.read(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return r, err
		}
		r = now
		if r.keys == v.Keys && r.joinings == v.Joinings && r.clients == v.Keys+v.Joinings && r.others == 0 && r.unsent == 0 {
			return r, nil
		}
	}
	if r == (reading{}) {
		return r, fmt.Errorf("the server does not answer to %s/metrics within %s", s.admin, within)
	}
	return r, fmt.Errorf("the server has %s, %d others and %d bytes unsent; the drivers have %s", r, r.others, r.unsent, v)
}

// flat compares with an earlier reading: what is not the clients' does not grow.
func (r reading) flat(first reading) error {
	switch {
	case r.files-r.clients-r.visitors > first.files-first.clients-first.visitors+20:
		return fmt.Errorf("files grow: %s, at first %s", r, first)
	case r.goroutines-r.visitors > first.goroutines-first.visitors+20:
		return fmt.Errorf("goroutines grow: %s, at first %s", r, first)
	case r.memory > 1.5*first.memory+8e6:
		return fmt.Errorf("memory grows: %s, at first %s", r, first)
	}
	return nil
}
