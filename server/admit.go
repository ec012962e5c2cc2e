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
		Reason:     conn.Full,
		RetryAfter: 5,
		Detail:     "the server has as many connections as it can serve, try again later",
	}
	outOfMemory = &conn.Refusal{
		Status:     http.StatusServiceUnavailable,
		Reason:     conn.OutOfMemory,
		RetryAfter: 5,
		Detail:     "the server has no memory for another connection, try again later",
	}
	serverStopping = &conn.Refusal{
		Status:     http.StatusServiceUnavailable,
		Reason:     conn.Stopping,
		RetryAfter: 1,
		Detail:     "the server is stopping",
	}
	foreignOrigin = &conn.Refusal{
		Status: http.StatusForbidden,
		Reason: conn.Origin,
		Detail: "pages of this origin may not use this server",
	}
	tooManyGuesses = &conn.Refusal{
		Status:     http.StatusTooManyRequests,
		Reason:     conn.Guesses,
		RetryAfter: 60,
		Detail:     "too many joins of unknown keys from this address, try again later",
	}
	tooManyFromAddress = &conn.Refusal{
		Status:     http.StatusTooManyRequests,
		Reason:     conn.PerIP,
		RetryAfter: 10,
		Detail:     "too many connections from this address, try again later",
	}
	tooFastFromAddress = &conn.Refusal{
		Status:     http.StatusTooManyRequests,
		Reason:     conn.AcceptRate,
		RetryAfter: 10,
		Detail:     "too many new connections from this address, try again later",
	}
)

// refusalFor is how HTTP says what Enter refused.
func refusalFor(refused admission.Refused) *conn.Refusal {
	if refused == admission.TooFast {
		return tooFastFromAddress
	}
	return tooManyFromAddress
}

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
		w.turnedAway[refusalFor(refused).Reason]++
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
	if refusal := s.admit(); refusal != nil {
		return refusal
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
			return refusalFor(refused)
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

// admit takes room for another client, or says why there is none.
func (s *Server) admit() *conn.Refusal {
	if s.tight.Load() {
		return outOfMemory
	}
	if s.admitted.Add(1) > int64(s.maxConnections) {
		s.admitted.Add(-1)
		s.full.note(s.log, "connection limit reached, refusing new clients with 503", "limit", s.maxConnections)
		return serverFull
	}
	return nil
}

// clientOf returns the address that r comes from. proxied says that it is a proxy's
// client and not yet counted.
func (s *Server) clientOf(r *http.Request) (addr netip.Addr, proxied bool) {
	if v := visitorOf(r); v.address != nil {
		return v.address.Network(), false
	}
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
			return nil, refusalFor(refused)
		}
	}
	if refusal := s.admit(); refusal != nil {
		s.leaveAddress(address)
		return nil, refusal
	}
	return address, nil
}

// leaveAddress ends what was counted, if anything was.
func (s *Server) leaveAddress(address *admission.Address) {
	if address != nil {
		s.addresses.Leave(address)
	}
}
