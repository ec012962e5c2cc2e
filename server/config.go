package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"sigver/admission"
	"sigver/conn"
	"sigver/router"
)

// Config is what a Server is built from. New checks it.
type Config struct {
	Host string // IPv4 or IPv6 address, or a name that resolves to one
	Port int    // 0: the kernel picks one

	Loops          int // event loops; one per core is right
	MaxConnections int // 0: what FileLimit allows
	FileLimit      int // descriptors that the process may have open
	MaxMessage     int // bytes of one message
	MaxBuffer      int // unsent bytes of one connection
	MaxJoinings    int // of one Opener; 0: no limit

	HandshakeTimeout time.Duration // for a whole HTTP header
	IdleTimeout      time.Duration // for opening or joining
	Heartbeat        time.Duration // 0: off
	Rate             float64       // frames per second and connection; 0: no limit
	Burst            float64       // frames at once

	// TLS is what connections are encrypted with; nil: not at all.
	TLS    *tls.Config
	NoDemo bool // do not serve the page

	Origins    admission.Origins // whose pages may use the server
	Proxies    admission.Proxies // whose word about their clients' addresses counts
	PerAddress admission.Limits
	// ProxyProtocol: connections of Proxies begin with its header.
	ProxyProtocol bool

	// Engine connects the server with the other nodes of a cluster; nil: it is alone.
	Engine router.Engine
	// OpenAnyway: keys can be opened while the engine does not answer.
	OpenAnyway bool

	// SharePort allows further servers on the same address.
	SharePort bool
	// Drain is over what time clients are sent away when the server stops.
	Drain time.Duration

	Log *slog.Logger
	// LogAddresses: the log has whole addresses, not just their networks.
	LogAddresses bool
}

// ErrImpossible means that the configuration asks for what cannot be had; the
// error's text says what can.
var ErrImpossible = errors.New("impossible setting")

// Descriptors that are not clients'.
const (
	filesOfProcess = 32 // standard streams, the runtime's, a profiler's
	filesOfLoop    = 8  // epoll set, its eventfd, ours, timer, listener
	refusalRoom    = 64 // clients over the limit that are being told so
)

// Check says what is impossible before anything is opened. Every error is an
// ErrImpossible. New checks it too.
func (c *Config) Check() error {
	if _, _, err := c.connectionLimit(); err != nil {
		return err
	}
	_, err := c.address()
	return err
}

// connectionLimit returns how many clients may be connected, and why.
func (c *Config) connectionLimit() (limit int, why string, err error) {
	possible := c.FileLimit - filesOfProcess - c.Loops*filesOfLoop - refusalRoom
	switch {
	case possible < 1:
		return 0, "", fmt.Errorf("%w: the open-file limit is %d, too low for %d loops: raise it (ulimit -n)", ErrImpossible, c.FileLimit, c.Loops)
	case c.MaxConnections > possible:
		return 0, "", fmt.Errorf("%w: --max-connections %d: the open-file limit of %d allows 1 to %d; raise it (ulimit -n) or ask for fewer",
			ErrImpossible, c.MaxConnections, c.FileLimit, possible)
	case c.MaxConnections > 0:
		return c.MaxConnections, "--max-connections", nil
	}
	return possible, fmt.Sprintf("open-file limit %d", c.FileLimit), nil
}

func (c *Config) limits() *conn.Limits {
	return &conn.Limits{
		Message:   c.MaxMessage,
		Unsent:    c.MaxBuffer,
		Handshake: c.HandshakeTimeout,
		Idle:      c.IdleTimeout,
		Heartbeat: c.Heartbeat,
		Rate:      c.Rate,
		Burst:     c.Burst,
	}
}

// address resolves Host. Of several addresses of a name the first one counts.
func (c *Config) address() (netip.AddrPort, error) {
	if c.Host == "" {
		return netip.AddrPort{}, fmt.Errorf("%w: --host is empty; 0.0.0.0 means every address", ErrImpossible)
	}
	ip, err := netip.ParseAddr(c.Host)
	if err != nil {
		resolved, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%w: --host %q is no address and no name that resolves to one: %w", ErrImpossible, c.Host, err)
		}
		return unmapped(resolved.AddrPort()), nil
	}
	return netip.AddrPortFrom(ip, uint16(c.Port)), nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
