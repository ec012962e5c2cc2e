// Package server is the assembled program: it listens, admits clients, joins
// what conn hears to what router does about it, and stops in good order.
//
// Its goroutines are one for each event loop, the one that called Run, and the
// HTTP server's: one for each connection that is neither WebSocket nor stream.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sigver/admission"
	"sigver/conn"
	"sigver/poller"
	"sigver/router"
)

const (
	// keyShards is how many locks the key table has. At 16 two cores hardly meet
	// any more; 256 also keeps the growth of one shard's map short.
	keyShards = 256
	// stopTimeout is how long clients have to leave when the server stops.
	stopTimeout = time.Second
)

// Server is a signaling server that is bound to its address. Run serves, once.
type Server struct {
	// Immutable after New.
	log            *slog.Logger
	addr           netip.AddrPort
	limits         *conn.Limits
	secure         bool // TLS on every connection
	router         *router.Router
	workers        []*worker
	maxConnections int
	whyLimit       string
	maxSockets     int
	maxJoinings    int // of one Opener
	drain          time.Duration
	origins        admission.Origins
	proxies        admission.Proxies
	proxyProtocol  bool
	addresses      *admission.Addresses
	perAddress     admission.Limits
	logAddresses   bool          // whole
	engine         router.Engine // of the cluster, or nil

	maxVisitors int
	http        *http.Server
	door        *door

	begun   time.Time   // immutable after New
	leaving atomic.Bool // set once, when there are to be no new clients
	tight   atomic.Bool // there is no memory for new clients

	sockets  atomic.Int64  // accepted and not closed
	visitors atomic.Int64  // those of them that are the HTTP server's
	nextLoop atomic.Uint64 // for the next stream
	streams  streams
	posts    posts
	refusals struct { // of HTTP requests, which no loop has
		mu     sync.Mutex
		counts conn.Refusals // guarded by mu
	}
	ended    chan struct{} // closed when the loops serve nothing any more
	admitted atomic.Int64  // those of them that are upgraded and not leaving
	dead     chan error    // buffered; the first loop that died, and why
	full     limitedLog
	crowd    limitedLog
	noFiles  limitedLog
	refused  limitedLog // addresses
}

// New checks config and binds its address. Clients that come from then on wait
// for Run. Errors name what has to be changed.
func New(config Config) (*Server, error) {
	maxConnections, why, err := config.connectionLimit()
	if err != nil {
		return nil, err
	}
	addr, err := config.address()
	if err != nil {
		return nil, err
	}
	listeners, bound, err := config.listen(addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	s := &Server{
		begun:          time.Now(),
		drain:          config.Drain,
		origins:        config.Origins,
		proxies:        config.Proxies,
		proxyProtocol:  config.ProxyProtocol,
		addresses:      admission.NewAddresses(config.PerAddress),
		perAddress:     config.PerAddress,
		log:            config.Log,
		logAddresses:   config.LogAddresses,
		addr:           bound,
		limits:         config.limits(),
		secure:         config.TLS != nil,
		router:         router.New(keyShards, config.MaxJoinings),
		maxConnections: maxConnections,
		whyLimit:       why,
		maxSockets:     maxConnections + refusalRoom,
		maxJoinings:    config.MaxJoinings,
		maxVisitors:    max(maxConnections/2, refusalRoom),
		door:           newDoor(net.TCPAddrFromAddrPort(bound)),
		ended:          make(chan struct{}),
		dead:           make(chan error, 1),
	}
	if s.engine = config.Engine; s.engine != nil {
		s.router.Answer(s.deliverFrom)
		s.router.Cluster(s.engine, config.OpenAnyway)
	}
	s.http = s.newHTTPServer(!config.NoDemo)
	for i, listener := range listeners {
		w, err := newWorker(s, listener, config.TLS)
		if err != nil {
			closeAll(listeners[i:])
			s.shut()
			return nil, err
		}
		s.workers = append(s.workers, w)
	}
	return s, nil
}

// listen opens one socket for each loop on the same address; the kernel spreads
// the clients over them.
func (c *Config) listen(addr netip.AddrPort) (listeners []int, bound netip.AddrPort, err error) {
	// A socket that is not shared finds out whether the address is somebody
	// else's: shared ones would quietly take half of the other's clients.
	first, err := poller.Listen(addr, c.SharePort)
	if err != nil {
		return nil, addr, err
	}
	if bound, err = poller.LocalAddr(first); err != nil {
		return nil, addr, errors.Join(err, poller.CloseFD(first))
	}
	if c.SharePort {
		// From here on it gets clients, whom its end would reset.
		listeners = append(listeners, first)
	} else if err = poller.CloseFD(first); err != nil {
		return nil, addr, err
	}
	for len(listeners) < c.Loops {
		fd, err := poller.Listen(bound, true)
		if err != nil {
			closeAll(listeners)
			return nil, addr, err
		}
		listeners = append(listeners, fd)
	}
	if c.Heartbeat > 0 {
		for _, fd := range listeners {
			if err := poller.GiveUpAfter(fd, 3*c.Heartbeat); err != nil {
				closeAll(listeners)
				return nil, addr, err
			}
		}
	}
	return listeners, bound, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = poller.CloseFD(fd)
	}
}

// Addr is the address that the server is bound to; its port is never 0.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// URL is where a client on this machine connects to.
func (s *Server) URL() string {
	ip := s.addr.Addr()
	switch {
	case ip == netip.IPv4Unspecified():
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case ip.IsUnspecified():
		ip = netip.IPv6Loopback()
	}
	scheme := "ws://"
	if s.secure {
		scheme = "wss://"
	}
	return scheme + netip.AddrPortFrom(ip, s.addr.Port()).String()
}

// Connections is how many clients are connected, in whatever state.
func (s *Server) Connections() int { return int(s.sockets.Load()) }

// Stats counts the keys and those that joined them.
func (s *Server) Stats() router.Stats { return s.router.Stats() }

// Router is the server's table of keys, for the engine of a cluster.
func (s *Server) Router() *router.Router { return s.router }

// Check looks for contradictions in the tables of keys. It is for quiet moments:
// it takes every lock.
func (s *Server) Check() error { return s.router.Check() }

// Run serves until ctx is done, then ends every connection and returns nil. An
// error means that serving was not possible any more.
func (s *Server) Run(ctx context.Context) error {
	defer s.shut()
	for _, w := range s.workers {
		if err := w.start(); err != nil {
			return err
		}
	}
	go s.serveHTTP()
	s.log.Info("listening", "url", s.URL(), "address", s.addr)
	s.log.Info("event loops", "loops", len(s.workers))
	s.log.Info("connection limit", "connections", s.maxConnections, "because", s.whyLimit)

	select {
	case err := <-s.dead:
		return err
	case <-ctx.Done():
	}
	s.stop()
	return nil
}

// serveHTTP ends when the HTTP server is closed.
func (s *Server) serveHTTP() {
	if err := s.http.Serve(s.door); !errors.Is(err, http.ErrServerClosed) {
		s.loopDied(err)
	}
}

// loopDied is for what a loop cannot go on after. Any goroutine.
func (s *Server) loopDied(err error) {
	select {
	case s.dead <- err:
	default: // one reason is enough
	}
}
