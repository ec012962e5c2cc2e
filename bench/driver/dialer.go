//go:build linux

package driver

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"sigver/bench/wire"
	"sigver/poller"
)

// sources is how many local addresses a driver takes in turn when it talks to
// this machine: each has its own range of ports, some 28,000.
const sources = 250

// dialer makes sockets that are being connected to the target.
type dialer struct {
	targets []netip.AddrPort
	apart   int         // between Joining and Opener
	secure  *tls.Config // nil: ws
	request []byte      // of the WebSocket handshake
	accept  string      // the Sec-WebSocket-Accept that answers it

	local  bool // the target is in 127.0.0.0/8
	driver byte
	dialed int
}

func newDialer(plan *wire.Plan) (*dialer, error) {
	d := &dialer{local: true, apart: plan.Apart, driver: byte(1 + plan.Driver)}
	var u *url.URL // all are alike
	for _, text := range plan.Targets {
		var err error
		if u, err = url.Parse(text); err != nil {
			return nil, err
		}
		port := map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
		if port == "" {
			return nil, fmt.Errorf("%s: not a ws:// or wss:// URL", text)
		}
		if u.Port() != "" {
			port = u.Port()
		}
		target, err := resolve(u.Hostname(), port)
		if err != nil {
			return nil, err
		}
		d.targets = append(d.targets, target)
		d.local = d.local && target.Addr().Is4() && target.Addr().IsLoopback()
	}
	if u.Scheme == "wss" {
		d.secure = &tls.Config{ServerName: u.Hostname(), InsecureSkipVerify: plan.Insecure, NextProtos: []string{"http/1.1"}}
	}
	d.makeRequest(u)
	return d, nil
}

// resolve prefers IPv4, since it has many loopback addresses.
func resolve(host, port string) (netip.AddrPort, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	best := ips[0]
	for _, ip := range ips {
		if ip.To4() != nil {
			best = ip
			break
		}
	}
	addr, _ := netip.AddrFromSlice(best)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), nil
}

func (d *dialer) makeRequest(u *url.URL) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	d.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", u.RequestURI(), u.Host, key)
	// RFC 6455 §4.2.2
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	d.accept = base64.StdEncoding.EncodeToString(sum[:])
}

// source returns the local address of the next connection, or false if the
// kernel shall choose.
func (d *dialer) source() (netip.Addr, bool) {
	if !d.local {
		return netip.Addr{}, false
	}
	d.dialed++
	return netip.AddrFrom4([4]byte{127, d.driver, 0, byte(1 + d.dialed%sources)}), true
}

// node is where the next client of p connects, or without a pair that with number.
func (d *dialer) node(p *pair, number int) netip.AddrPort {
	if p != nil {
		number = int(p.number & 0xffffff)
		if p.opener != nil { // it is the Joining
			number += d.apart
		}
	}
	return d.targets[number%len(d.targets)]
}

// socket returns a non-blocking socket that is connected or being connected.
func (d *dialer) socket(target netip.AddrPort) (int, error) {
	family := unix.AF_INET6
	if target.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := d.connect(fd, target); err != nil {
		return -1, errors.Join(err, poller.CloseFD(fd))
	}
	return fd, nil
}

func (d *dialer) connect(fd int, target netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if source, ok := d.source(); ok {
		// The kernel picks the port when it knows both ends, or it would run
		// out of ports long before it runs out of pairs of ends.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	err := unix.Connect(fd, sockaddr(target))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return os.NewSyscallError("connect", err)
	}
	return nil
}

func sockaddr(target netip.AddrPort) unix.Sockaddr {
	port := int(target.Port())
	if target.Addr().Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: target.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: target.Addr().As16()}
}

// mask returns a random key for the frames of one connection, never zero: a zero
// key would spare the server its work.
func mask() [4]byte {
	var key [4]byte
	for binary.NativeEndian.Uint32(key[:]) == 0 {
		_, _ = rand.Read(key[:])
	}
	return key
}
