package poller

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// backlog is how many clients may wait to be accepted. The kernel cuts it down
// to net.core.somaxconn.
const backlog = 65535

// Listen opens a non-blocking TCP socket that listens on addr. Port 0 lets the
// kernel choose (LocalAddr tells). The unspecified IPv6 address takes IPv4
// clients too. A shared socket allows further shared ones of the same user on
// the same address; the kernel spreads new connections over them. Accepted
// connections inherit TCP_NODELAY, so nobody has to set it for each.
func Listen(addr netip.AddrPort, shared bool) (int, error) {
	family, sockaddr, err := sockaddrOf(addr)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := bindAndListen(fd, family, sockaddr, shared); err != nil {
		return -1, errors.Join(err, CloseFD(fd))
	}
	return fd, nil
}

// Share is the Control of a net.ListenConfig whose sockets are shared as those of
// Listen.
func Share(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	})
	return errors.Join(err, failed)
}

func bindAndListen(fd, family int, sockaddr unix.Sockaddr, shared bool) error {
	type option struct{ level, name, value int }
	options := []option{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	}
	if shared {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	if family == unix.AF_INET6 {
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Bind(fd, sockaddr); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

// GiveUpAfter sets how long bytes may stay unacknowledged on connections that
// listener, which Listen opened, will bring (TCP_USER_TIMEOUT, RFC 5482): then
// the kernel ends the connection, in place of trying for a quarter of an hour.
func GiveUpAfter(listener int, d time.Duration) error {
	err := unix.SetsockoptInt(listener, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	return os.NewSyscallError("setsockopt", err)
}

func sockaddrOf(addr netip.AddrPort) (family int, sockaddr unix.Sockaddr, err error) {
	ip := addr.Addr()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}, nil
	}
	six := &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16()}
	if zone := ip.Zone(); zone != "" {
		iface, err := net.InterfaceByName(zone)
		if err != nil {
			return 0, nil, err
		}
		six.ZoneId = uint32(iface.Index)
	}
	return unix.AF_INET6, six, nil
}

// LocalAddr returns the address that fd is bound to.
func LocalAddr(fd int) (netip.AddrPort, error) {
	sockaddr, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	return addrPort(sockaddr)
}

// PeerAddr returns the address of the other end of fd, while it is connected.
func PeerAddr(fd int) (netip.AddrPort, error) {
	sockaddr, err := unix.Getpeername(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getpeername", err)
	}
	return addrPort(sockaddr)
}

func addrPort(sockaddr unix.Sockaddr) (netip.AddrPort, error) {
	switch a := sockaddr.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), nil
	}
	return netip.AddrPort{}, unix.EAFNOSUPPORT
}

// RaiseFileLimit sets the process's soft limit of open files to the hard one
// and returns it.
func RaiseFileLimit() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, os.NewSyscallError("setrlimit", err)
		}
	}
	// Descriptors are 32-bit numbers in epoll and in conn.
	return int(min(limit.Cur, 1<<30)), nil
}
