//go:build linux

package proc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// grace is how long a process may take to end when it is asked to: more than the
// 10 s over which sigver sends clients away that are still there.
const grace = 15 * time.Second

// Process is one that this program has started. It does not get the signals of
// the terminal, and dies with this program.
type Process struct {
	PID int

	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait, once done is closed
}

// Start starts cmd on the given cores, or on any.
func Start(cmd *exec.Cmd, cores Cores) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cores.start(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", cmd.Path, err)
	}
	p := &Process{PID: cmd.Process.Pid, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended. Use it when Done is closed.
func (p *Process) Err() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// Stop asks the process to end, and makes it if it does not. It returns an error if
// the process had ended before, or does not end with status 0.
func (p *Process) Stop() error {
	select {
	case <-p.done:
		return fmt.Errorf("it had ended before it was asked to: %w", p.Err())
	default:
	}
	// Fails if it has ended a moment ago, which its status tells.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("it did not end within %s", grace)
	}
	if errors.Is(p.err, exec.ErrWaitDelay) {
		return nil // a child has kept its streams; the status was 0
	}
	return p.err
}

// Server is a process that has told its URL.
type Server struct {
	*Process
	URL string

	output *output
}

var urlPattern = regexp.MustCompile(`wss?://[][0-9A-Za-z.:-]*[0-9]`)

// Serve starts a server and waits until it prints, to either stream, the URL
// that it serves.
func Serve(ctx context.Context, cmd *exec.Cmd, cores Cores) (*Server, error) {
	out := &output{url: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr = out, out
	// A program that left its streams to a child would keep Wait waiting.
	cmd.WaitDelay = time.Second
	p, err := Start(cmd, cores)
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, output: out}
	select {
	case s.URL = <-out.url:
		return s, nil
	case <-p.done:
		return nil, fmt.Errorf("%s did not start: %w%s", cmd.Path, p.Err(), s.LastWords())
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(15 * time.Second):
		err = errors.New("no URL within 15 seconds")
	}
	_ = p.Stop() // it is no use anyway
	return nil, fmt.Errorf("%s did not start: %w%s", cmd.Path, err, s.LastWords())
}

// LastWords returns the end of what the server has printed, as lines to be
// appended to an error.
func (s *Server) LastWords() string { return s.output.end() }

// output keeps the end of what is written to it and looks for a URL.
type output struct {
	url chan string

	mu    sync.Mutex
	text  []byte
	found bool
}

func (o *output) Write(p []byte) (int, error) {
	const kept = 2000
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	// A line may come in pieces, and a URL must not be taken for shorter than
	// it is.
	if whole := strings.LastIndexByte(string(o.text), '\n'); !o.found && whole >= 0 {
		if url := urlPattern.Find(o.text[:whole]); url != nil {
			o.found = true
			o.url <- string(url)
		}
	}
	if len(o.text) > kept {
		o.text = append(o.text[:0], o.text[len(o.text)-kept:]...)
	}
	return len(p), nil
}

func (o *output) end() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(o.text)), "\n")
	if lines = lines[max(0, len(lines)-5):]; lines[0] == "" {
		return ""
	}
	return "\n  " + strings.Join(lines, "\n  ")
}
