package server

import (
	"net/http"
	"net/netip"

	"sigver/admission"
	"sigver/conn"
	"sigver/poller"
)

// Why a client is refused, as HTTP says it.
var (
	serverFull = &conn.Refusal{
		Status:     http.StatusServiceUnavailable,
		RetryAfter: 5,
		Detail:     "the server has as many connections as it can serve, try again later",
	}
	foreignOrigin = &conn.Refusal{
		Status: http.StatusForbidden,
		Detail: "pages of this origin may not use this server",
	}
	tooManyGuesses = &conn.Refusal{
		Status:     http.StatusTooManyRequests,
		RetryAfter: 60,
		Detail:     "too many joins of unknown keys from this address, try again later",
	}
	tooManyFromAddress = &conn.Refusal{
		Status:     http.StatusTooManyRequests,
		RetryAfter: 10,
		Detail:     "too many connections from this address, try again later",
	}
)

// limitsAddresses reports whether addresses have to be known when they come.
func (s *Server) limitsAddresses() bool {
	return s.perAddress.Connections > 0 || s.perAddress.Rate > 0
}

// enter counts fd's address before there is any work for it. It is not ok if the
// address has too much already. A proxy's clients are counted when a header says
// who they are; proxied says that it comes before anything else.
func (w *worker) enter(c *client, fd int) (proxied, ok bool) {
	s := w.server
	if !s.limitsAddresses() && !s.proxyProtocol {
		return false, true
	}
	peer, err := poller.PeerAddr(fd)
	if err != nil {
		return false, false // is gone already
	}
	if s.proxies.Trusts(peer.Addr()) {
		return s.proxyProtocol, true
	}
	return false, !s.limitsAddresses() || w.enterAs(c, peer.Addr())
}

func (w *worker) enterAs(c *client, addr netip.Addr) bool {
	address, refused := w.server.addresses.Enter(addr)
	if refused != "" {
		w.turnedAway++
		w.server.noteRefused(addr, string(refused))
		return false
	}
	w.entered[c] = address
	return true
}

// Proxied counts the client that a proxy speaks for.
func (c *client) Proxied(addr netip.Addr) bool {
	return !addr.IsValid() || c.worker().enterAs(c, addr)
}

// leaveAddress ends what enter or Opening counted.
func (w *worker) leaveAddress(c *client) {
	w.server.leaveAddress(w.takeAddress(c))
}

// takeAddress takes what was counted from c, for whoever has its socket now.
func (w *worker) takeAddress(c *client) *admission.Address {
	address := w.entered[c]
	delete(w.entered, c)
	return address
}

func (w *worker) giveAddress(c *client, address *admission.Address) {
	if address != nil {
		w.entered[c] = address
	}
}

// Opening admits the client if it may come in and there is room.
func (c *client) Opening(header []byte) *conn.Refusal {
	w := c.worker()
	s := w.server
	if !s.origins.Any() {
		for origin := range conn.HeaderValues(header, "Origin") {
			if !s.origins.Allows(string(origin)) {
				return foreignOrigin
			}
		}
	}
	if refusal := w.enterFor(c, header); refusal != nil {
		return refusal
	}
	if !s.admit() {
		return serverFull
	}
	s.attach(c)
	return nil
}

// enterFor counts the client that a proxy speaks for, and keeps those out who try
// keys.
func (w *worker) enterFor(c *client, header []byte) *conn.Refusal {
	s := w.server
	if len(s.proxies) == 0 && !s.addresses.Suspects() {
		return nil
	}
	if address := w.entered[c]; address != nil {
		if s.guessesTooMuch(address.Network()) {
			return tooManyGuesses
		}
		return nil
	}
	addr, err := c.PeerAddr()
	if err != nil {
		return nil // is gone, as will be seen
	}
	proxied := s.proxies.Trusts(addr)
	if proxied {
		addr = s.proxies.Client(addr, values(header, "Forwarded"), values(header, "X-Forwarded-For"))
	}
	if s.guessesTooMuch(addr) {
		return tooManyGuesses
	}
	if proxied {
		address, refused := s.addresses.Enter(addr)
		if refused != "" {
			s.noteRefused(addr, string(refused))
			return tooManyFromAddress
		}
		w.entered[c] = address
	}
	return nil
}

func values(header []byte, name string) (all []string) {
	for value := range conn.HeaderValues(header, name) {
		all = append(all, string(value))
	}
	return all
}

// Tight says whether memory is short: while it is, nobody new is let in. Any
// goroutine.
func (s *Server) Tight(tight bool) {
	s.tight.Store(tight)
	if tight {
		s.log.Warn("out of memory (--max-memory), refusing new clients with 503", "connections", s.admitted.Load())
	} else {
		s.log.Info("enough memory again")
	}
}

// admit reports whether there is room for another client, and takes it.
func (s *Server) admit() bool {
	if s.tight.Load() {
		return false
	}
	if s.admitted.Add(1) > int64(s.maxConnections) {
		s.admitted.Add(-1)
		s.full.note(s.log, "connection limit reached, refusing new clients with 503", "limit", s.maxConnections)
		return false
	}
	return true
}

// clientOf returns the address that r comes from.
func (s *Server) clientOf(r *http.Request) (addr netip.Addr, proxied bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr = peer.Addr().Unmap()
	if !s.proxies.Trusts(addr) {
		return addr, false
	}
	return s.proxies.Client(addr, r.Header.Values("Forwarded"), r.Header.Values("X-Forwarded-For")), true
}

// admitStream is Opening for the stream that r asks for. It returns the address
// that it has counted, if a proxy speaks for it.
func (s *Server) admitStream(r *http.Request) (address *admission.Address, refusal *conn.Refusal) {
	addr, proxied := s.clientOf(r)
	if addr.IsValid() && s.guessesTooMuch(addr) {
		return nil, tooManyGuesses
	}
	if proxied {
		var refused admission.Refused
		if address, refused = s.addresses.Enter(addr); refused != "" {
			s.noteRefused(addr, string(refused))
			return nil, tooManyFromAddress
		}
	}
	if !s.admit() {
		s.leaveAddress(address)
		return nil, serverFull
	}
	return address, nil
}

// leaveAddress ends what was counted, if anything was.
func (s *Server) leaveAddress(address *admission.Address) {
	if address != nil {
		s.addresses.Leave(address)
	}
}
