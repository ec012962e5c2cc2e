package conn

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// A proxy that passes on bytes and not requests says in a header before them whom
// it has them from: the PROXY protocol, versions 1 and 2, as HAProxy's
// documentation defines it. For these connections that header is the first thing.

const (
	// What of version 2 is there before its length is known, and how much may
	// follow: addresses, and what proxies add about TLS.
	proxyFixed  = 16
	maxProxy    = 2 << 10
	maxProxyOne = 107 // bytes of a header of version 1
)

var (
	proxyOne = []byte("PROXY ")
	proxyTwo = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// ServeProxied is Serve for a connection that begins with a header of the PROXY
// protocol. What that says, Events.Proxied is told. Loop only.
func (s *Set) ServeProxied(c *Conn, fd int) error {
	if err := s.Serve(c, fd); err != nil {
		return err
	}
	c.state = stateProxied
	return nil
}

// proxyHeader deals with the header at the beginning of b and returns how long it is,
// or 0 when more must arrive, or when it was no header and is the end.
func (c *Conn) proxyHeader(b []byte) int {
	size := proxyHeaderSize(b)
	if size < 0 {
		c.close()
		return 0
	}
	if size == 0 || size > len(b) {
		return 0
	}
	client, ok := readProxyHeader(b[:size])
	if !ok || !c.events().Proxied(client) {
		c.close()
		return 0
	}
	c.state = stateHandshake
	if c.set.TLS != nil {
		c.state = stateHello
	}
	return size
}

// proxyHeaderSize is how long the header is that b begins with, 0 if that cannot
// be known yet, and -1 if b is no header.
func proxyHeaderSize(b []byte) int {
	switch {
	case bytes.HasPrefix(b, proxyOne):
		end := bytes.Index(b, endOfLine)
		switch {
		case end >= 0 && end+len(endOfLine) <= maxProxyOne:
			return end + len(endOfLine)
		case end >= 0 || len(b) >= maxProxyOne:
			return -1
		}
		return 0
	case bytes.HasPrefix(b, proxyTwo):
		if len(b) < proxyFixed {
			return 0
		}
		size := proxyFixed + int(binary.BigEndian.Uint16(b[proxyFixed-2:]))
		if size > maxProxy {
			return -1
		}
		return size
	case bytes.HasPrefix(proxyOne, b), bytes.HasPrefix(proxyTwo, b):
		return 0
	}
	return -1
}

// readProxyHeader returns the client's address, which is not valid if the proxy
// speaks for itself, as it does to see whether the server lives.
func readProxyHeader(b []byte) (client netip.Addr, ok bool) {
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return netip.Addr{}, false
	}
	if header.Command.IsLocal() {
		return netip.Addr{}, true
	}
	source, isTCP := header.SourceAddr.(*net.TCPAddr)
	if !isTCP {
		return netip.Addr{}, header.SourceAddr == nil // UNKNOWN
	}
	client, ok = netip.AddrFromSlice(source.IP)
	return client.Unmap(), ok
}
