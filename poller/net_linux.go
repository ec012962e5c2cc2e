package poller

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ToNet turns fd, a connected socket that no loop watches any more, into a
// connection for goroutines that wait. fd is used up, even if there is an error.
func ToNet(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	return net.FileConn(f) // with a descriptor of its own
}

// FromNet turns c, which came from ToNet and on which nobody waits, back into a
// non-blocking descriptor. c is used up, even if there is an error.
func FromNet(c net.Conn) (int, error) {
	fd, err := duplicate(c)
	if closing := c.Close(); closing != nil { // who closed it does not want it back
		if fd >= 0 {
			_ = CloseFD(fd)
		}
		return -1, errors.Join(err, closing)
	}
	return fd, err
}

func duplicate(c net.Conn) (int, error) {
	fd := -1
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return fd, err
	}
	controlErr := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, controlErr
}
