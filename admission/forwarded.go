package admission

import (
	"net/netip"
	"strings"
)

// Proxies are the networks of proxies that are believed.
type Proxies []netip.Prefix

// Trusts reports whether addr is such a proxy's.
func (p Proxies) Trusts(addr netip.Addr) bool {
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// Client returns the address of the client for which peer, the other end of the
// connection, has sent a request with these header fields. Each proxy adds, at
// the end, whom it got the request from; what a proxy that is not trusted has
// written may be a lie, so the last that is not a trusted proxy is the client.
// Forwarded (RFC 7239 §4) counts before X-Forwarded-For.
func (p Proxies) Client(peer netip.Addr, forwarded, forwardedFor []string) netip.Addr {
	hops := forwardedHops(forwarded)
	if len(hops) == 0 {
		for _, field := range forwardedFor {
			hops = append(hops, strings.Split(field, ",")...)
		}
	}
	client := peer
	for i := len(hops) - 1; i >= 0 && p.Trusts(client); i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break // unknown, or hidden on purpose: the proxy itself answers for it
		}
		client = hop
	}
	return client
}

// forwardedHops returns the values of for= in order.
func forwardedHops(fields []string) (hops []string) {
	for _, field := range fields {
		for element := range strings.SplitSeq(field, ",") {
			for pair := range strings.SplitSeq(element, ";") {
				name, value, _ := strings.Cut(pair, "=")
				if strings.EqualFold(strings.TrimSpace(name), "for") {
					hops = append(hops, strings.Trim(strings.TrimSpace(value), `"`))
				}
			}
		}
	}
	return hops
}

// parseHop reads an address with or without a port, IPv6 with or without
// brackets.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	if inside, found := strings.CutPrefix(text, "["); found {
		text = strings.TrimSuffix(inside, "]")
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap().WithZone(""), err == nil
}
