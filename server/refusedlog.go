package server

import (
	"log/slog"
	"net/netip"
)

// Of an address the log has the network that it is in, unless the operator wants
// more: enough to find an attacker's provider, too little to follow a person.
const (
	loggedBits4 = 24
	loggedBits6 = 64
)

// loggedAddr is addr as the log may have it.
type loggedAddr struct {
	addr  netip.Addr
	whole bool
}

// LogValue is evaluated only for a line that is written.
func (l loggedAddr) LogValue() slog.Value {
	addr := l.addr.Unmap().WithZone("")
	if l.whole {
		return slog.StringValue(addr.String())
	}
	bits := loggedBits4
	if addr.Is6() {
		bits = loggedBits6
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return slog.StringValue("unknown")
	}
	return slog.StringValue(network.String())
}

// noteRefused logs why nobody of addr is let in. Any goroutine.
func (s *Server) noteRefused(addr netip.Addr, because string) {
	s.refused.note(s.log, "refusing an address", "address", loggedAddr{addr, s.logAddresses}, "because", because)
}
