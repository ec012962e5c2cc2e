package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"sigver/admission"
	"sigver/conn"
	"sigver/web"
)

const (
	visitTime     = 30 * time.Second // for a whole request, and for a whole answer
	visitIdleTime = time.Minute      // between two requests
	maxVisitHead  = 8 << 10          // bytes of a request's header
)

// newHTTPServer is for everything that is no WebSocket: the page, the library,
// and the two halves of Server-Sent Events.
func (s *Server) newHTTPServer(page bool) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.getRoot(page))
	mux.HandleFunc("POST /{$}", s.postMessage)
	mux.HandleFunc("OPTIONS /{$}", preflight)
	mux.HandleFunc("GET /healthz", healthz)
	web.Library(mux)
	if page {
		web.PageFiles(mux)
	}
	return &http.Server{
		Handler:           s.common(mux),
		ReadHeaderTimeout: s.limits.Handshake,
		ReadTimeout:       visitTime,
		WriteTimeout:      visitTime,
		IdleTimeout:       visitIdleTime,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, visitorKey{}, c)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				c.(*visitor).Kept()
			}
		},
		MaxHeaderBytes: maxVisitHead,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// common gives every answer the headers that all have, and finds who wants a
// WebSocket, which is to be had on every path.
func (s *Server) common(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asksForWebSocket(r) {
			s.getWebSocket(w, r)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !s.allowOrigin(w.Header(), r.Header.Get("Origin")) {
			w.Header().Add("Vary", "Origin")
			s.refuse(w, foreignOrigin)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers with r and counts it. http.Error would take the word about caches
// away.
func (s *Server) refuse(w http.ResponseWriter, r *conn.Refusal) {
	s.noteRefusal(r)
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	if r.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(r.RetryAfter))
	}
	w.WriteHeader(r.Status)
	_, _ = io.WriteString(w, r.Detail+"\n")
}

// noteRefusal counts what no loop does.
func (s *Server) noteRefusal(r *conn.Refusal) {
	s.refusals.mu.Lock()
	defer s.refusals.mu.Unlock()
	s.refusals.counts.Count(r)
}

// allowOrigin says in the answer's header whose pages may read it (Fetch Standard
// §3.2). It is false if origin may not even ask.
func (s *Server) allowOrigin(answer http.Header, origin string) bool {
	answer.Set("Access-Control-Expose-Headers", "Retry-After")
	switch {
	case s.origins.Any():
		answer.Set("Access-Control-Allow-Origin", "*")
		return true
	case !s.origins.Allows(origin):
		return false
	}
	answer.Add("Vary", "Origin")
	if origin != "" {
		answer.Set("Access-Control-Allow-Origin", origin)
	}
	return true
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, "ok\n")
}

// getRoot is what the address of the server alone leads to.
func (s *Server) getRoot(page bool) http.HandlerFunc {
	pageItself := web.Page()
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		switch {
		case accepts(r, "text/event-stream"):
			s.getStream(w, r)
		case !accepts(r, "text/html"):
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "upgrade")
			http.Error(w, "this is a WebSocket server: connect with a WebSocket client (Upgrade: websocket), "+
				"or for Server-Sent Events with Accept: text/event-stream", http.StatusUpgradeRequired)
		case page:
			pageItself.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	}
}

// visitor is a connection of the HTTP server. It counts as one of the server's
// sockets until it is closed, or until it becomes a stream.
type visitor struct {
	*conn.Visitor
	server  *Server
	address *admission.Address // where it comes from, if that was counted
	over    sync.Once
}

// visitorKey is what a request's context has its connection by.
type visitorKey struct{}

// visitorOf is the connection that r came on.
func visitorOf(r *http.Request) *visitor { return r.Context().Value(visitorKey{}).(*visitor) }

// RemoteAddr is the client's, also if a proxy has said who that is.
func (v *visitor) RemoteAddr() net.Addr {
	if v.address == nil {
		return v.Visitor.RemoteAddr()
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(v.address.Network(), 0))
}

// Close closes the connection.
func (v *visitor) Close() error {
	err := v.Visitor.Close()
	v.leave()
	return err
}

// leave takes v out of the counts of visitors and sockets, once.
func (v *visitor) leave() {
	v.over.Do(func() {
		v.server.leaveAddress(v.address)
		v.server.visitors.Add(-1)
		v.server.sockets.Add(-1)
	})
}

// becomeSocket makes v just a socket again, which is for a loop to count, as c's.
func (v *visitor) becomeSocket(w *worker, c *client) {
	v.server.sockets.Add(1) // before v leaves, so that there never seems to be room
	w.giveAddress(c, v.address)
	v.address = nil
	v.leave()
}

// Visit hands a connection to the HTTP server.
func (c *client) Visit(cv *conn.Visitor) {
	w := c.worker()
	s := w.server
	v := &visitor{Visitor: cv, server: s, address: w.takeAddress(c)}
	s.visitors.Add(1)
	if !s.door.put(v) {
		s.noteRefusal(serverStopping)
		// A goroutine, because it may have to wait for a moment.
		go func() {
			_ = v.SetDeadline(time.Now().Add(time.Second))
			_, _ = v.Write(serverStopping.Answer())
			_ = v.Close()
		}()
	}
}

// door is the net.Listener of the HTTP server: connections come to it from the
// event loops, which it never makes wait.
type door struct {
	addr net.Addr
	some chan struct{} // has a value while waiting may not be empty
	shut chan struct{}

	mu      sync.Mutex
	waiting []net.Conn // guarded by mu
	closed  bool       // guarded by mu
}

func newDoor(addr net.Addr) *door {
	return &door{addr: addr, some: make(chan struct{}, 1), shut: make(chan struct{})}
}

// put is false if the door is closed.
func (d *door) put(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.waiting = append(d.waiting, c)
	select {
	case d.some <- struct{}{}:
	default:
	}
	return true
}

// Accept waits for the next connection.
func (d *door) Accept() (net.Conn, error) {
	for {
		if c := d.take(); c != nil {
			return c, nil
		}
		select {
		case <-d.some:
		case <-d.shut:
			return nil, net.ErrClosed
		}
	}
}

func (d *door) take() net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		d.waiting = nil
		return nil
	}
	c := d.waiting[0]
	d.waiting[0] = nil
	d.waiting = d.waiting[1:]
	return c
}

// Close lets nobody in any more, and closes those who wait.
func (d *door) Close() error {
	d.mu.Lock()
	waiting := d.waiting
	first := !d.closed
	d.waiting, d.closed = nil, true
	d.mu.Unlock()
	if first {
		close(d.shut)
	}
	for _, c := range waiting {
		_ = c.Close()
	}
	return nil
}

// Addr is the server's address.
func (d *door) Addr() net.Addr { return d.addr }
