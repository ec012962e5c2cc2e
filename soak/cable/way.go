package cable

import (
	"io"
	"net"
	"sync"
)

// Way is a TCP address that leads to another one, and on which bytes can be held up
// or lost without a trace, as on a network.
type Way struct {
	Addr string // immutable

	to       string
	listener net.Listener
	all      sync.WaitGroup

	mu     sync.Mutex
	change *sync.Cond
	held   bool       // guarded by mu
	lossy  bool       // guarded by mu
	closed bool       // guarded by mu
	conns  []net.Conn // guarded by mu
}

// Pave makes a way to the address to. Close ends it.
func Pave(to string) (*Way, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Way{Addr: listener.Addr().String(), to: to, listener: listener}
	w.change = sync.NewCond(&w.mu)
	w.all.Go(w.accept)
	return w, nil
}

// Hold makes everything wait on its way, or go on.
func (w *Way) Hold(held bool) { w.set(&w.held, held) }

// LoseAnswers throws away what comes back. Connections that have lost some are
// closed when it ends.
func (w *Way) LoseAnswers(lossy bool) {
	w.set(&w.lossy, lossy)
	if !lossy {
		w.cut()
	}
}

// Close ends the way and all connections on it.
func (w *Way) Close() {
	_ = w.listener.Close()
	w.set(&w.closed, true)
	w.cut()
	w.all.Wait()
}

func (w *Way) set(what *bool, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*what = is
	w.change.Broadcast()
}

func (w *Way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}

func (w *Way) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.mu.Lock()
		closed := w.closed
		w.conns = append(w.conns, near, far)
		w.mu.Unlock()
		if closed {
			w.cut()
		}
		w.all.Go(func() { w.pass(far, near, false) })
		w.all.Go(func() { w.pass(near, far, true) })
	}
}

func (w *Way) pass(to, from net.Conn, answers bool) {
	_, _ = io.Copy(passage{w, to, answers}, from)
	_ = to.Close()
}

// passage is one direction of a connection.
type passage struct {
	*Way
	to      io.Writer
	answers bool
}

func (p passage) Write(b []byte) (int, error) {
	p.mu.Lock()
	for p.held && !p.closed {
		p.change.Wait()
	}
	lost := p.lossy && p.answers
	p.mu.Unlock()
	if lost {
		return len(b), nil
	}
	return p.to.Write(b)
}
